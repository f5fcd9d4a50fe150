//! The mock gateway, tried with filters of many kinds.

use std::time::Duration;

use tidegate_guest::{
    BodyMode, BodyVerdict, Filter, Interest, Piece, Reply, Request, Response, Result, TestHost, Verdict, clock, export,
    groups, metrics, random, store, vars,
};

/// Replaces a secret, counts its requests, and allows two of them.
struct Redact(metrics::Counter);

impl Filter for Redact {
    type Config = ();

    fn init((): ()) -> Result<Self> {
        Ok(Self(metrics::Counter::new("requests")))
    }

    fn interest(&self) -> Interest {
        Interest::everything().request_body(BodyMode::Buffer(16)).response_body(BodyMode::Stream(1024))
    }

    fn on_request_body(&self, request: &mut Request, piece: Piece<'_>) -> BodyVerdict {
        request.set_header("x-length", piece.data.len().to_string());
        self.0.add(1.0);
        match store::take("k", 2, 0.0) {
            store::Taken::Yes => BodyVerdict::next(),
            _ => BodyVerdict::respond(Reply::new(429)),
        }
    }

    fn on_response_body(&self, _: &Request, _: &mut Response, piece: Piece<'_>) -> BodyVerdict {
        if piece.data == b"pass" { BodyVerdict::replace("****") } else { BodyVerdict::next() }
    }
}

export!(Redact: request_body, response_body);

#[test]
fn bodies_go_through_in_their_mode() {
    let pieces = ["my  ", "pass", " word"];
    let outcome = TestHost::new().body("hello").response_body_pieces(pieces).run::<Redact>();
    assert_eq!(outcome.request_body(), b"hello");
    assert_eq!(outcome.request_header("x-length"), Some("5"));
    assert_eq!(outcome.response_body(), b"my  **** word");
    assert_eq!(outcome.metric("requests"), [1.0]);
}

#[test]
#[should_panic(expected = "longer than the 16 bytes")]
fn a_body_over_the_bound_is_a_fault() {
    let _ = TestHost::new().body("a".repeat(17)).run::<Redact>();
}

struct Probe;

impl Filter for Probe {
    type Config = ();

    fn init((): ()) -> Result<Self> {
        Ok(Self)
    }

    fn interest(&self) -> Interest {
        Interest::everything().methods(["GET", "POST"]).path_prefixes(["/api"])
    }

    fn on_request(&self, request: &mut Request) -> Verdict {
        if request.header("x-stop").is_some() {
            return Verdict::respond(Reply::new(403).text("no"));
        }
        if request.header("x-break").is_some() {
            request.set_header("x-a", "a\r\nb: c");
        }
        request.set_header("X-Seen", request.client_ip().map_or_else(String::new, |ip| ip.to_string()));
        vars::set("seen", "yes");
        Verdict::next()
    }

    fn on_response(&self, request: &Request, response: &mut Response) -> Verdict {
        response.set_header("x-path", request.path());
        response.set_header("x-var", vars::get("seen").unwrap_or_default());
        Verdict::next()
    }
}

export!(Probe: request, response);

#[test]
fn both_hooks_see_one_request() {
    let outcome = TestHost::new().client_ip("203.0.113.9").target("/api/x?y").run::<Probe>();
    assert_eq!(outcome.verdict, Verdict::next());
    assert_eq!(outcome.request_header("x-seen"), Some("203.0.113.9"));
    assert_eq!(outcome.response_header("x-path"), Some("/api/x"));
    assert_eq!(outcome.response_header("x-var"), Some("yes"));
}

#[test]
fn interest_is_tested_before_the_call() {
    let outcome = TestHost::new().target("/apix").run::<Probe>();
    assert_eq!(outcome.request_header("x-seen"), None);
    assert_eq!(outcome.response_verdict, None);
    let outcome = TestHost::new().target("/api").method("PUT").run::<Probe>();
    assert_eq!(outcome.request_header("x-seen"), None);
}

#[test]
fn a_reply_becomes_the_response() {
    let outcome = TestHost::new().target("/api").header("x-stop", "1").run::<Probe>();
    assert_eq!(outcome.verdict, Verdict::respond(Reply::new(403).text("no")));
    assert_eq!(outcome.status(), 403);
}

#[test]
#[should_panic(
    expected = "(bad-value): the value of header `x-a` holds a line break, NUL or another control character"
)]
fn a_line_break_in_a_value_is_refused() {
    let _ = TestHost::new().target("/api").header("x-break", "1").run::<Probe>();
}

/// Counts in the store for a minute, ticks, and remembers how requests ended.
struct Clockwork;

impl Filter for Clockwork {
    type Config = ();

    fn init((): ()) -> Result<Self> {
        assert!(groups::list().is_empty(), "groups come after `init`");
        Ok(Self)
    }

    fn interest(&self) -> Interest {
        Interest::everything().tick_ms(500)
    }

    fn on_request(&self, request: &mut Request) -> Verdict {
        let count = store::incr("requests", 1, 60_000).unwrap_or(-1);
        request.set_header("x-count", count.to_string());
        request.set_header("x-second", clock::monotonic().as_secs().to_string());
        request.set_header("x-groups", groups::list().len().to_string());
        request.set_header("x-random", random::u64().to_string());
        if request.path() == "/close" { Verdict::close() } else { Verdict::next() }
    }

    fn on_log(&self, request: &Request, response: &Response) {
        if request.path() != "/close" {
            vars::set("ended", &format!("{} {}", request.path(), response.status()));
        }
    }

    fn on_tick(&self) {
        store::incr("ticks", 1, 0);
    }
}

export!(Clockwork: request, log, tick);

#[test]
fn time_passes_when_the_test_says_so() {
    let gateway = TestHost::new().group("web", 1, 2).start::<Clockwork>();
    let count = |expected: &str| {
        let outcome = gateway.send(|host| host.target("/a"));
        assert_eq!(outcome.request_header("x-count"), Some(expected));
        outcome
    };
    let first = count("1");
    assert_eq!(first.request_header("x-groups"), Some("1"));
    assert_eq!(first.var("ended"), Some("/a 200"));
    gateway.advance(Duration::from_millis(59_999));
    let second = count("2");
    assert_eq!(second.request_header("x-second"), Some("59"));
    assert_ne!(first.request_header("x-random"), second.request_header("x-random"));
    assert_eq!(gateway.stored("ticks").as_deref(), Some(&b"120"[..]));
    gateway.advance(Duration::from_millis(1));
    count("1");
    gateway.advance(Duration::from_millis(100));
    assert_eq!(gateway.stored("ticks").as_deref(), Some(&b"121"[..]));
}

#[test]
fn a_closed_request_has_no_response() {
    let outcome = TestHost::new().target("/close").run::<Clockwork>();
    assert_eq!((outcome.verdict.clone(), outcome.response_verdict.clone()), (Verdict::close(), None));
    assert_eq!(outcome.var("ended"), None);
}

#[test]
#[should_panic(expected = "`read-response.status` outside a response hook: there is no response yet")]
fn a_response_cannot_be_read_before_it_is_there() {
    let mut status = 0;
    let _ = TestHost::new().in_response(|_, response| status = response.status());
    assert_eq!(status, 200);
    struct Early;
    impl Filter for Early {
        type Config = ();
        fn init((): ()) -> Result<Self> {
            Ok(Self)
        }
        fn on_log(&self, _: &Request, response: &Response) {
            let _ = response.status();
        }
        fn on_request(&self, _: &mut Request) -> Verdict {
            Verdict::close()
        }
    }

    export!(Early: log, request);
    let _ = TestHost::new().run::<Early>();
}

/// A filter that has every hook, and exports one.
struct Forgetful(Interest);

impl Filter for Forgetful {
    type Config = String;

    fn init(wants: String) -> Result<Self> {
        let everything = Interest::everything();
        Ok(Self(match wants.as_str() {
            "request bodies" => everything.request_body(BodyMode::Buffer(1024)),
            "response bodies" => everything.response_body(BodyMode::Stream(1024)),
            "ticks" => everything.tick_ms(1000),
            _ => everything,
        }))
    }

    fn interest(&self) -> Interest {
        self.0.clone()
    }

    fn on_request(&self, _: &mut Request) -> Verdict {
        vars::set("asked", "yes");
        Verdict::next()
    }

    fn on_response(&self, _: &Request, _: &mut Response) -> Verdict {
        vars::set("answered", "yes");
        Verdict::next()
    }

    fn on_log(&self, _: &Request, _: &Response) {
        vars::set("logged", "yes");
    }
}

export!(Forgetful: request);

#[test]
fn a_hook_that_is_not_exported_does_not_run() {
    let outcome = TestHost::new().config("\"heads\"").run::<Forgetful>();
    assert_eq!((outcome.var("asked"), outcome.var("answered"), outcome.var("logged")), (Some("yes"), None, None));
    assert_eq!(outcome.response_verdict, None);
}

#[test]
fn an_interest_in_what_is_not_exported_is_refused() {
    for (wants, hook) in [("request bodies", "request_body"), ("response bodies", "response_body"), ("ticks", "tick")] {
        let config = format!("\"{wants}\"");
        let error = TestHost::new().config(config).try_run::<Forgetful>().err().map(|error| error.to_string());
        let said = format!("its interest asks for {wants}, but `export!` does not name the hook `{hook}`");
        assert_eq!(error, Some(said));
    }
}

#[test]
#[should_panic(expected = "(unknown-group): the extension forwards to `beta`, and the policy has no such server group")]
fn a_group_that_the_policy_does_not_have_is_a_fault() {
    struct Beta;
    impl Filter for Beta {
        type Config = ();
        fn init((): ()) -> Result<Self> {
            Ok(Self)
        }
        fn on_request(&self, _: &mut Request) -> Verdict {
            Verdict::forward("beta")
        }
    }

    export!(Beta: request);
    assert_eq!(TestHost::new().run::<Beta>().group(), Some("beta"), "where a test names no group, each is there");
    let _ = TestHost::new().group("web", 1, 1).run::<Beta>();
}

#[test]
#[should_panic(expected = "(not-allowed): the module imports what it is not allowed: \
                           `tidegate:extension/vars@0.1.0` (allow it with `vars`)")]
fn what_is_not_allowed_stops_the_call() {
    let _ = TestHost::new().target("/api").allow("[read-request, write-request-headers]").run::<Probe>();
}

#[test]
fn a_module_with_hooks_for_bodies_needs_the_word() {
    let error = TestHost::new().allow("[store, metrics]").try_start::<Redact>().err().map(|error| error.to_string());
    let said =
        "the module imports what it is not allowed: `tidegate:extension/on-request-body@0.1.0` (allow it with `body`)";
    assert_eq!(error.as_deref(), Some(said));
}

#[test]
#[should_panic(expected = "`write` is no word of `allow`")]
fn words_that_there_are_not_are_told() {
    let _ = TestHost::new().allow("[read-request, write]");
}

#[test]
#[should_panic(expected = "no client can ask for the path `/..`")]
fn a_target_that_the_gateway_refuses_is_none_to_test_with() {
    let _ = TestHost::new().target("/..");
}

#[test]
fn a_stopped_call_leaves_nothing_behind() {
    let stopped = std::panic::catch_unwind(|| TestHost::new().target("/api").header("x-break", "1").run::<Probe>());
    assert!(stopped.is_err());
    let outcome = TestHost::new().target("/api").run::<Probe>();
    assert_eq!(outcome.response_header("x-var"), Some("yes"));
}
