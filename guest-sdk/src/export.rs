//! The `export!` macro, and the glue between the generated bindings and [`Filter`](crate::Filter).

/// Exports a [`Filter`](crate::Filter) as this module's extension.
///
/// `export!(MyFilter)` exports both hooks; `export!(MyFilter: request)` or `export!(MyFilter: response)` exports one, so
/// that the gateway never calls the other.
#[macro_export]
macro_rules! export {
    ($filter:ty) => {
        $crate::export!($filter: request, response);
    };
    ($filter:ty: $($hook:ident),+) => {
        // The type is checked on every target; the exports exist in Wasm only.
        const _: fn(&str) -> $crate::Result<$filter> = $crate::__private::from_json::<$filter>;

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
                    let mut hooks = $crate::Hooks { request: false, response: false };
                    $( hooks.$hook = true; )+
                    let (filter, interest) = $crate::__private::init::<$filter>(&config, hooks)?;
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
}

#[cfg(target_arch = "wasm32")]
pub use glue::{init, into_interest, into_verdict, report_panics};

#[cfg(target_arch = "wasm32")]
mod glue {
    use crate::bindings::extension::tidegate::extension::types;
    use crate::verdict::Kind;
    use crate::{Filter, Hooks, Interest, Verdict, sys};

    /// Makes the filter, and asks it for its interest within the hooks that the module exports.
    pub fn init<F: Filter>(config: &str, exported: Hooks) -> Result<(F, types::Interest), String> {
        let filter = crate::filter::from_json::<F>(config).map_err(|error| error.to_string())?;
        let interest = into_interest(filter.interest(), exported);
        Ok((filter, interest))
    }

    /// The interest in the ABI's terms.
    pub fn into_interest(interest: Interest, exported: Hooks) -> types::Interest {
        let mut hooks = types::Hooks::empty();
        hooks.set(types::Hooks::REQUEST, interest.hooks.request && exported.request);
        hooks.set(types::Hooks::RESPONSE, interest.hooks.response && exported.response);
        types::Interest {
            hooks,
            methods: interest.methods,
            path_prefixes: interest.path_prefixes,
            request_body: types::BodyMode::None,
            response_body: types::BodyMode::None,
            tick_ms: 0,
        }
    }

    /// The verdict in the ABI's terms.
    pub fn into_verdict(verdict: Verdict) -> types::Verdict {
        match verdict.0 {
            Kind::Next => types::Verdict::Next,
            Kind::Forward(group) => types::Verdict::Forward(group),
            Kind::Close => types::Verdict::Close,
            Kind::Respond(reply) => {
                let header = |(name, value)| types::Header { name, value };
                types::Verdict::Respond(types::Reply {
                    status: reply.status,
                    headers: reply.headers.into_iter().map(header).collect(),
                    body: reply.body,
                })
            }
        }
    }

    /// Hands a panic's message to the host before the trap, which alone says nothing.
    pub fn report_panics() {
        std::panic::set_hook(Box::new(|panic| sys::fault_message(&panic.to_string())));
    }
}
