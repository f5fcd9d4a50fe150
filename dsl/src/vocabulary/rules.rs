//! Words of rules: conditions, steps, outcomes, the way back.

use super::Role::{Condition, Outcome, Step, WayBack};
use super::{Word, ms, secs};

pub(super) const RULES: &[Word] = &[
    Word::new("rule", "NAME { … }", "is taken if its conditions hold").many(),
    Word::new("otherwise", "{ … }", "is taken if no rule is; comes last").many(),
];

pub(super) const RULE: &[Word] = &[
    Word::new("when", "TEST|any { … }|all { … }", "must hold").many().role(Condition),
    Word::new("unless", "TEST|any { … }|all { … }", "must not hold").many().role(Condition),
    Word::new(
        "limit",
        "RATE [per client-ip|header \"n\"|cookie \"n\"|host] [burst N] [status N]",
        "refuses what is over a rate",
    )
    .many()
    .role(Step),
    Word::new("set-header", "\"NAME\" \"VALUE\"", "replaces every value of a request header").many().role(Step),
    Word::new("add-header", "\"NAME\" \"VALUE\"", "adds a value to a request header").many().role(Step),
    Word::new("remove-header", "\"NAME\"", "removes a request header").many().role(Step),
    Word::new("rewrite", "path|host|query \"…\"", "changes what the backend is asked for").many().role(Step),
    Word::new("set-var", "\"NAME\" \"VALUE\"", "sets a variable of the request").many().role(Step),
    Word::new("run", "EXTENSION", "runs an extension").many().role(Step),
    Word::new("mirror", "GROUP [P%]", "sends a copy, and forgets the answer").many().role(Step).later(),
    Word::new("cors", "{ … }", "answers what browsers ask about other origins").role(Step).later(),
    Word::new("timeout", "D", "replaces the listener's `request-timeout`")
        .role(Step)
        .duration(ms(1), secs(3600), None)
        .default("the listener's"),
    Word::new("log", "\"TEXT\"", "writes a line to the gateway's log").many().role(Step),
    Word::new("forward", "GROUP or A weight N, B weight N", "sends the request to a server group").many().role(Outcome),
    Word::new("redirect", "STATUS \"LOCATION\"", "sends the client elsewhere").many().role(Outcome),
    Word::new("respond", "STATUS [\"BODY\"] [type \"…\"]", "answers").many().role(Outcome),
    Word::new("close", "", "closes the connection without an answer").many().role(Outcome),
    Word::new("on-response", "{ … }", "is done to the response").many().role(WayBack),
];

pub(super) const ON_RESPONSE: &[Word] = &[
    Word::new("when", "TEST|any { … }|all { … }", "must hold").many().role(Condition),
    Word::new("unless", "TEST|any { … }|all { … }", "must not hold").many().role(Condition),
    Word::new("set-header", "\"NAME\" \"VALUE\"", "replaces every value of a response header").many().role(Step),
    Word::new("add-header", "\"NAME\" \"VALUE\"", "adds a value to a response header").many().role(Step),
    Word::new("remove-header", "\"NAME\"", "removes a response header").many().role(Step),
    Word::new("set-var", "\"NAME\" \"VALUE\"", "sets a variable, for later steps and the access log").many().role(Step),
    Word::new("log", "\"TEXT\"", "writes a line to the gateway's log").many().role(Step),
];

pub(super) const REWRITE: &[Word] = &[
    Word::new("path", "\"…\"", "the path"),
    Word::new("host", "\"…\"", "the `Host` that the backend sees"),
    Word::new("query", "\"…\"", "the query, without `?`; empty removes it"),
];

pub(super) const LIMIT: &[Word] = &[
    Word::new("per", "client-ip|header \"n\"|cookie \"n\"|host", "counts each value on its own")
        .default("all requests together"),
    Word::new("burst", "N", "requests that may come at once")
        .count(1, 1_000_000_000, None)
        .default("the number of the rate"),
    Word::new("status", "N", "the status of a refusal").count(400, 599, Some(503)),
];

pub(super) const LIMIT_KEY: &[Word] = &[
    Word::new("client-ip", "", "the address of the client"),
    Word::new("header", "\"NAME\"", "the first value of a header"),
    Word::new("cookie", "\"NAME\"", "the first value of a cookie"),
    Word::new("host", "", "the host"),
];

pub(super) const TARGET: &[Word] = &[
    Word::new("weight", "N", "its share of the requests").count(0, 65535, Some(1)),
    Word::new("sticky", "D", "keeps a client on its group").later(),
];

pub(super) const RESPOND: &[Word] =
    &[Word::new("type", "\"MEDIA TYPE\"", "the media type of the body").default("text/plain; charset=utf-8")];

pub(super) const CORS: &[Word] = &[
    Word::new("origins", "[\"ORIGIN\", …]", "origins that may ask").later(),
    Word::new("methods", "[METHOD, …]", "methods that they may use").later(),
    Word::new("headers", "[\"NAME\", …]", "request headers that they may send").later(),
    Word::new("expose", "[\"NAME\", …]", "response headers that they may read").later(),
    Word::new("credentials", "on|off", "whether they may send cookies").later(),
    Word::new("max-age", "D", "how long a browser may remember the answer").later(),
];
