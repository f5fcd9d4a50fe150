//! The `export!` macro, and the glue between the generated bindings and [`Filter`](crate::Filter).

/// Exports a [`Filter`](crate::Filter) as this module's extension.
///
/// `export!(MyFilter)` exports the hooks for heads, `request` and `response`; `export!(MyFilter: request_body, log)` exports
/// those that it names: `request`, `response`, `request_body`, `response_body`, `log`, `tick`. The gateway never calls another,
/// and neither does [`TestHost`](crate::TestHost).
///
/// ```
/// # use tidegate_guest::{Filter, Request, Response, Result, export, vars};
/// struct Ends;
///
/// impl Filter for Ends {
///     type Config = ();
///     fn init((): ()) -> Result<Self> {
///         Ok(Self)
///     }
///     fn on_log(&self, request: &Request, _: &Response) {
///         vars::set("ended", &request.path());
///     }
/// }
///
/// export!(Ends: log);
/// ```
#[macro_export]
macro_rules! export {
    ($filter:ty) => {
        $crate::export!($filter: request, response);
    };
    ($filter:ty: $($hook:ident),+) => {
        // The type is checked on every target; the exports exist in Wasm only.
        const _: fn(&str) -> $crate::Result<$filter> = $crate::__private::from_json::<$filter>;

        impl $crate::Exported for $filter {
            const HOOKS: $crate::Hooks = {
                let mut hooks = $crate::Hooks::none();
                $( hooks.$hook = true; )+
                hooks
            };
        }

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Export;

            ::std::thread_local! {
                static FILTER: ::std::cell::OnceCell<$filter> = const { ::std::cell::OnceCell::new() };
            }

            impl $crate::bindings::extension::exports::tidegate::extension::lifecycle::Guest for Export {
                fn init(
                    config: ::std::string::String,
                ) -> ::std::result::Result<
                    $crate::bindings::extension::tidegate::extension::types::Interest,
                    ::std::string::String,
                > {
                    $crate::__private::report_panics();
                    let (filter, interest) = $crate::__private::init::<$filter>(&config)?;
                    FILTER.with(|cell| cell.set(filter)).map_err(|_| "init was called twice")?;
                    Ok(interest)
                }
            }
            $crate::bindings::extension::__export_extension!(Export with_types_in $crate::bindings::extension);

            $( $crate::__export_hook!($hook, Export, $filter, FILTER); )+
        };
    };
}

/// Exports one hook; [`export!`] alone uses it.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_hook {
    (request, $export:ident, $filter:ty, $cell:ident) => {
        impl $crate::bindings::request_hook::exports::tidegate::extension::on_request::Guest for $export {
            fn run() -> $crate::bindings::extension::tidegate::extension::types::Verdict {
                $cell.with(|cell| {
                    let filter = cell.get().expect("the host calls `init` before any hook");
                    let verdict = $crate::Filter::on_request(filter, &mut $crate::Request::current());
                    $crate::__private::into_verdict(verdict)
                })
            }
        }
        $crate::bindings::request_hook::__export_request!($export with_types_in $crate::bindings::request_hook);
    };
    (response, $export:ident, $filter:ty, $cell:ident) => {
        impl $crate::bindings::response_hook::exports::tidegate::extension::on_response::Guest for $export {
            fn run() -> $crate::bindings::extension::tidegate::extension::types::Verdict {
                $cell.with(|cell| {
                    let filter = cell.get().expect("the host calls `init` before any hook");
                    let verdict = $crate::Filter::on_response(
                        filter,
                        &$crate::Request::current(),
                        &mut $crate::Response::current(),
                    );
                    $crate::__private::into_verdict(verdict)
                })
            }
        }
        $crate::bindings::response_hook::__export_response!($export with_types_in $crate::bindings::response_hook);
    };
    (request_body, $export:ident, $filter:ty, $cell:ident) => {
        impl $crate::bindings::request_body_hook::exports::tidegate::extension::on_request_body::Guest for $export {
            fn run(
                data: ::std::vec::Vec<u8>,
                last: bool,
            ) -> $crate::bindings::extension::tidegate::extension::types::BodyVerdict {
                $cell.with(|cell| {
                    let filter = cell.get().expect("the host calls `init` before any hook");
                    let piece = $crate::Piece { data: &data, last };
                    let verdict = $crate::Filter::on_request_body(filter, &mut $crate::Request::current(), piece);
                    $crate::__private::into_body_verdict(verdict)
                })
            }
        }
        $crate::bindings::request_body_hook::__export_request_body!($export with_types_in $crate::bindings::request_body_hook);
    };
    (response_body, $export:ident, $filter:ty, $cell:ident) => {
        impl $crate::bindings::response_body_hook::exports::tidegate::extension::on_response_body::Guest for $export {
            fn run(
                data: ::std::vec::Vec<u8>,
                last: bool,
            ) -> $crate::bindings::extension::tidegate::extension::types::BodyVerdict {
                $cell.with(|cell| {
                    let filter = cell.get().expect("the host calls `init` before any hook");
                    let piece = $crate::Piece { data: &data, last };
                    let verdict = $crate::Filter::on_response_body(filter, &$crate::Request::current(), &mut $crate::Response::current(), piece);
                    $crate::__private::into_body_verdict(verdict)
                })
            }
        }
        $crate::bindings::response_body_hook::__export_response_body!($export with_types_in $crate::bindings::response_body_hook);
    };
    (log, $export:ident, $filter:ty, $cell:ident) => {
        impl $crate::bindings::log_hook::exports::tidegate::extension::on_log::Guest for $export {
            fn run() {
                $cell.with(|cell| {
                    let filter = cell.get().expect("the host calls `init` before any hook");
                    $crate::Filter::on_log(filter, &$crate::Request::current(), &$crate::Response::current());
                });
            }
        }
        $crate::bindings::log_hook::__export_log!($export with_types_in $crate::bindings::log_hook);
    };
    (tick, $export:ident, $filter:ty, $cell:ident) => {
        impl $crate::bindings::tick_hook::exports::tidegate::extension::on_tick::Guest for $export {
            fn run() {
                $cell.with(|cell| {
                    let filter = cell.get().expect("the host calls `init` before any hook");
                    $crate::Filter::on_tick(filter);
                });
            }
        }
        $crate::bindings::tick_hook::__export_tick!($export with_types_in $crate::bindings::tick_hook);
    };
}

#[cfg(target_arch = "wasm32")]
pub use glue::{init, into_body_verdict, into_interest, into_verdict, report_panics};

#[cfg(target_arch = "wasm32")]
mod glue {
    use crate::bindings::extension::tidegate::extension::types;
    use crate::verdict::{BodyKind, Kind};
    use crate::{BodyMode, BodyVerdict, Exported, Interest, Reply, Verdict, sys};

    /// Makes the filter, and asks it for its interest within the hooks that the module exports.
    pub fn init<F: Exported>(config: &str) -> Result<(F, types::Interest), String> {
        let filter = crate::filter::from_json::<F>(config).map_err(|error| error.to_string())?;
        let interest = filter.interest().within(F::HOOKS).map_err(|error| error.to_string())?;
        Ok((filter, into_interest(interest)))
    }

    /// The interest in the ABI's terms.
    pub fn into_interest(interest: Interest) -> types::Interest {
        let mut hooks = types::Hooks::empty();
        hooks.set(types::Hooks::REQUEST, interest.hooks.request);
        hooks.set(types::Hooks::RESPONSE, interest.hooks.response);
        hooks.set(types::Hooks::REQUEST_BODY, interest.hooks.request_body);
        hooks.set(types::Hooks::RESPONSE_BODY, interest.hooks.response_body);
        hooks.set(types::Hooks::LOG, interest.hooks.log);
        hooks.set(types::Hooks::TICK, interest.hooks.tick);
        types::Interest {
            hooks,
            methods: interest.methods,
            path_prefixes: interest.path_prefixes,
            request_body: into_mode(interest.request_body),
            response_body: into_mode(interest.response_body),
            tick_ms: interest.tick_ms,
        }
    }

    const fn into_mode(mode: Option<BodyMode>) -> types::BodyMode {
        match mode {
            None => types::BodyMode::None,
            Some(BodyMode::Stream(bytes)) => types::BodyMode::Stream(bytes),
            Some(BodyMode::Buffer(bytes)) => types::BodyMode::Buffer(bytes),
        }
    }

    /// A body hook's verdict in the ABI's terms.
    pub fn into_body_verdict(verdict: BodyVerdict) -> types::BodyVerdict {
        match verdict.0 {
            BodyKind::Next => types::BodyVerdict::Next,
            BodyKind::Replace(data) => types::BodyVerdict::Replace(data),
            BodyKind::Respond(reply) => types::BodyVerdict::Respond(into_reply(reply)),
            BodyKind::Close => types::BodyVerdict::Close,
        }
    }

    /// The verdict in the ABI's terms.
    pub fn into_verdict(verdict: Verdict) -> types::Verdict {
        match verdict.0 {
            Kind::Next => types::Verdict::Next,
            Kind::Forward(group) => types::Verdict::Forward(group),
            Kind::Close => types::Verdict::Close,
            Kind::Respond(reply) => types::Verdict::Respond(into_reply(reply)),
        }
    }

    fn into_reply(reply: Reply) -> types::Reply {
        let header = |(name, value)| types::Header { name, value };
        types::Reply {
            status: reply.status,
            headers: reply.headers.into_iter().map(header).collect(),
            body: reply.body,
        }
    }

    /// Hands a panic's message to the host before the trap, which alone says nothing.
    pub fn report_panics() {
        std::panic::set_hook(Box::new(|panic| sys::fault_message(&panic.to_string())));
    }
}
