//! The bindings that wit-bindgen makes of the WIT: raw imports and the macros that export hooks. Nothing here is
//! written by hand.
#![allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

/// Every import, and `lifecycle`.
pub mod extension {
    wit_bindgen::generate!({
        path: "wit",
        world: "extension",
        pub_export_macro: true,
        export_macro_name: "__export_extension",
        default_bindings_module: "tidegate_guest::bindings::extension",
        generate_all,
    });
}

/// The request hook.
pub mod request_hook {
    wit_bindgen::generate!({
        path: "wit",
        world: "request-hook",
        pub_export_macro: true,
        export_macro_name: "__export_request",
        default_bindings_module: "tidegate_guest::bindings::request_hook",
        with: { "tidegate:extension/types@0.1.0": crate::bindings::extension::tidegate::extension::types },
    });
}

/// The response hook.
pub mod response_hook {
    wit_bindgen::generate!({
        path: "wit",
        world: "response-hook",
        pub_export_macro: true,
        export_macro_name: "__export_response",
        default_bindings_module: "tidegate_guest::bindings::response_hook",
        with: { "tidegate:extension/types@0.1.0": crate::bindings::extension::tidegate::extension::types },
    });
}

/// The request-body hook.
pub mod request_body_hook {
    wit_bindgen::generate!({
        path: "wit",
        world: "request-body-hook",
        pub_export_macro: true,
        export_macro_name: "__export_request_body",
        default_bindings_module: "tidegate_guest::bindings::request_body_hook",
        with: { "tidegate:extension/types@0.1.0": crate::bindings::extension::tidegate::extension::types },
    });
}

/// The response-body hook.
pub mod response_body_hook {
    wit_bindgen::generate!({
        path: "wit",
        world: "response-body-hook",
        pub_export_macro: true,
        export_macro_name: "__export_response_body",
        default_bindings_module: "tidegate_guest::bindings::response_body_hook",
        with: { "tidegate:extension/types@0.1.0": crate::bindings::extension::tidegate::extension::types },
    });
}

/// The log hook.
pub mod log_hook {
    wit_bindgen::generate!({
        path: "wit",
        world: "log-hook",
        pub_export_macro: true,
        export_macro_name: "__export_log",
        default_bindings_module: "tidegate_guest::bindings::log_hook",
    });
}

/// The tick hook.
pub mod tick_hook {
    wit_bindgen::generate!({
        path: "wit",
        world: "tick-hook",
        pub_export_macro: true,
        export_macro_name: "__export_tick",
        default_bindings_module: "tidegate_guest::bindings::tick_hook",
    });
}
