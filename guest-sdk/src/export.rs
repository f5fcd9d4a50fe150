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

            $( $crate::__export_hook!($hook, Export, FILTER); )+
        };
    };
}

/// Exports one hook; [`export!`] alone uses it. Each hook says where its bindings are, and what it does with the filter.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_hook {
    (request, $($to:tt)+) => {
        $crate::__export_hook!(request_hook, on_request, __export_request, [$($to)+], |filter| () -> Verdict {
            $crate::__private::into_verdict($crate::Filter::on_request(filter, &mut $crate::Request::current()))
        });
    };
    (response, $($to:tt)+) => {
        $crate::__export_hook!(response_hook, on_response, __export_response, [$($to)+], |filter| () -> Verdict {
            let (request, mut response) = ($crate::Request::current(), $crate::Response::current());
            $crate::__private::into_verdict($crate::Filter::on_response(filter, &request, &mut response))
        });
    };
    (request_body, $($to:tt)+) => {
        $crate::__export_hook!(
            request_body_hook, on_request_body, __export_request_body, [$($to)+],
            |filter| (data: ::std::vec::Vec<u8>, last: bool) -> BodyVerdict {
                let piece = $crate::Piece { data: &data, last };
                let verdict = $crate::Filter::on_request_body(filter, &mut $crate::Request::current(), piece);
                $crate::__private::into_body_verdict(verdict)
            }
        );
    };
    (response_body, $($to:tt)+) => {
        $crate::__export_hook!(
            response_body_hook, on_response_body, __export_response_body, [$($to)+],
            |filter| (data: ::std::vec::Vec<u8>, last: bool) -> BodyVerdict {
                let piece = $crate::Piece { data: &data, last };
                let (request, mut response) = ($crate::Request::current(), $crate::Response::current());
                let verdict = $crate::Filter::on_response_body(filter, &request, &mut response, piece);
                $crate::__private::into_body_verdict(verdict)
            }
        );
    };
    (log, $($to:tt)+) => {
        $crate::__export_hook!(log_hook, on_log, __export_log, [$($to)+], |filter| () {
            $crate::Filter::on_log(filter, &$crate::Request::current(), &$crate::Response::current());
        });
    };
    (tick, $($to:tt)+) => {
        $crate::__export_hook!(tick_hook, on_tick, __export_tick, [$($to)+], |filter| () {
            $crate::Filter::on_tick(filter);
        });
    };
    (
        $bindings:ident, $interface:ident, $export_bindings:ident, [$export:ident, $cell:ident],
        |$filter:ident| ($($argument:ident: $type:ty),*) $(-> $verdict:ident)? $body:block
    ) => {
        impl $crate::bindings::$bindings::exports::tidegate::extension::$interface::Guest for $export {
            fn run($($argument: $type),*) $(-> $crate::bindings::extension::tidegate::extension::types::$verdict)? {
                $cell.with(|cell| {
                    let $filter = cell.get().expect("the host calls `init` before any hook");
                    $body
                })
            }
        }
        $crate::bindings::$bindings::$export_bindings!($export with_types_in $crate::bindings::$bindings);
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
