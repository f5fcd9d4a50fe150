//! The black-box tests, as one binary: the harness and its clients are linked once, not once for each file.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails, and says where"
)]

mod access_log;
mod admin;
mod alerts;
mod alt_svc;
mod architecture;
mod arrows;
mod attacks;
mod authors;
mod balance;
mod bodies;
mod body_hooks;
mod certificates;
mod certificates_refused;
mod closing;
mod command_line;
mod compression;
mod console;
mod demo;
mod drain;
mod early_answers;
mod early_data;
mod examples;
mod extensions;
mod failures;
mod fields;
mod files;
mod foreign;
mod grpc;
mod health;
mod hostile_servers;
mod http2;
mod http2_frames;
mod http3;
mod http3_bodies;
mod http3_clients;
mod languages;
mod leaks;
mod living;
mod lsp;
mod memory;
mod metrics;
mod mock_and_gateway;
mod outbound;
mod package;
mod paths;
mod process;
mod proxy_protocol;
mod proxying;
mod quic_packets;
mod refusals;
mod reload;
mod retries;
mod rules;
mod testssl;
mod tls;
mod tls_memory;
mod tls_upstream;
mod tools;
mod tracing;
mod via;
mod websocket;
mod who_may_connect;

/// A file that is not named above is not compiled, and a file beside this folder is a binary of its own.
#[test]
fn every_file_is_a_module_of_this_binary() {
    let names = |folder: std::path::PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    };
    let here = tidegate_tests::shipped("tests/tests/black_box");
    let mut modules: Vec<&str> = include_str!("main.rs").lines().filter_map(|line| line.strip_prefix("mod ")).collect();
    modules.push("main;");
    modules.sort_unstable();
    let files = names(here.clone());
    let files: Vec<String> = files.iter().filter_map(|name| Some(format!("{};", name.strip_suffix(".rs")?))).collect();
    assert_eq!(files, modules);
    assert_eq!(names(here.join("..")), ["black_box"]);
}
