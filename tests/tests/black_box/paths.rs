//! Paths that backends could read in another way than rules: `paths merge`, `plain` and `strict`, over every version of HTTP.

use tidegate_tests::http2::Http2;
use tidegate_tests::http3::{Http3, run};
use tidegate_tests::pki::Authority;
use tidegate_tests::{Backend, Gateway, Policy, Response, Tool};

/// A policy that keeps `/admin` from everybody, over HTTP/1.1, HTTP/2 and HTTP/3.
fn guarded(backend: &Backend, paths: &str) -> (Gateway, Authority) {
    let policy = Policy::to(backend)
        .listener(paths)
        .quic(paths)
        .rule("admin", "when path under \"/admin\"\nrespond 403")
        .rule("moved", "when path under \"/moved\"\nrewrite path \"/to${path}\"\nforward web");
    Gateway::start_quic(&policy)
}

/// The target that the backend got, or the status.
fn outcome(response: &Response) -> Result<String, u16> {
    if response.status == 200 { Ok(response.echo().target) } else { Err(response.status) }
}

fn holds(paths: &str, table: &[(&str, Result<&str, u16>)]) {
    let backend = Backend::echo();
    let (gateway, authority) = guarded(&backend, paths);
    run(async {
        let mut two = Http2::connect(gateway.port()).await;
        let mut three = Http3::connect(gateway.port(), &authority).await;
        for (path, expected) in table {
            let expected = expected.map(str::to_owned);
            assert_eq!(outcome(&gateway.get(path)), expected, "{path} over HTTP/1.1 with `{paths}`");
            assert_eq!(outcome(&two.get(path).await), expected, "{path} over HTTP/2 with `{paths}`");
            assert_eq!(outcome(&three.get(path).await), expected, "{path} over HTTP/3 with `{paths}`");
        }
    });
}

#[test]
fn merged_paths_are_no_way_round_a_rule() {
    let table = [
        ("/admin/x", Err(403)),
        ("//admin", Err(403)),
        ("///admin//x", Err(403)),
        ("/.//admin", Err(403)),
        ("/a//..//admin", Err(403)),
        ("/admin;x", Err(403)),
        ("/admin;x=1/y", Err(403)),
        ("/;x/admin", Err(403)),
        ("//%61dmin", Err(403)),
        ("/a/..;/admin", Err(400)),
        ("/a/%2e%2e;x/admin", Err(400)),
        ("/public//a/?q=//b;c", Ok("/public/a/?q=//b;c")),
        ("/public;v=1//a;w", Ok("/public;v=1/a;w")),
        ("/moved//a;b", Ok("/to/moved/a;b")),
        ("/a%2F%2Fb", Ok("/a%2F%2Fb")),
    ];
    holds("", &table);
    holds("paths merge", &table);
}

#[test]
fn plain_paths_pass_as_they_came() {
    holds(
        "paths plain",
        &[
            ("/admin/x", Err(403)),
            ("//admin", Ok("//admin")),
            ("/admin;x", Ok("/admin;x")),
            ("/proxy/https://a.example//b", Ok("/proxy/https://a.example//b")),
            ("/a/..;/b", Ok("/a/..;/b")),
        ],
    );
}

#[test]
fn strict_paths_have_one_reading() {
    holds(
        "paths strict",
        &[
            ("/admin/x", Err(403)),
            ("/public/a/?q=//b;c%2f", Ok("/public/a/?q=//b;c%2f")),
            ("/caf%c3%a9", Ok("/caf%C3%A9")),
            ("//admin", Err(400)),
            ("/a//b", Err(400)),
            ("/a%2fb", Err(400)),
            ("/a%5cb", Err(400)),
            ("/static/..%252Fadmin", Err(400)),
            ("/a;b", Err(400)),
            ("/%252e%252e/b", Err(400)),
        ],
    );
}

#[test]
fn the_log_and_a_text_have_the_path_as_it_came() {
    let policy = Policy::new().otherwise("respond 200 \"${uri} ${path} ${original-uri}\"");
    let gateway = Gateway::start(&policy);
    assert_eq!(gateway.get("//a//b;c?d=//").text(), "/a/b;c?d=// /a/b;c //a//b;c?d=//");
    assert_eq!(gateway.access("//a//b;c?d=//")["status"], 200);
    assert_eq!(gateway.get("/a/..;/b").status, 400);
    assert_eq!(gateway.access("/a/..;/b")["failure"], "bad-target");
}

#[test]
fn explain_and_test_read_paths_as_serving_does() {
    let tool = Tool::new().file(
        "policy.gate",
        "tidegate 1\n\
         listener http main { port 8080; rules main }\n\
         listener http careful { port 8081; paths strict; rules main }\n\
         rules main { rule admin { when path under \"/admin\"; respond 403 }; otherwise { respond 204 } }\n\
         test \"slashes\" { request GET \"http://a.example:8080//admin;x\"; expect rule admin; expect status 403 }\n\
         test \"one reading\" { request GET \"http://a.example:8081//admin\"; expect status 400 }\n",
    );
    let output = tool.run(&["test", "policy.gate"]);
    assert_eq!(output.status, Some(0), "{}{}", output.stdout, output.stderr);
    let output = tool.run(&["explain", "policy.gate", "GET http://a.example:8080//admin"]);
    assert!(output.stdout.contains("admin") && output.stdout.contains("403"), "{}", output.stdout);
}
