//! Words of rules: conditions, steps, outcomes, the way back.

use super::word::Role::{Condition, Outcome, Step, WayBack};
use super::word::{Word, ms, secs};
use crate::plan::LimitKey;

pub(super) const RULES: &[Word] = &[
    Word::new("rule", "NAME { … }", "is taken if its conditions hold")
        .example("rule admin { when path under \"/admin\"; respond 403 }")
        .many(),
    Word::new("otherwise", "{ … }", "is taken if no rule is; comes last")
        .more("It has no conditions, and must be there.")
        .example("otherwise { forward web }")
        .many(),
];

pub(super) const RULE: &[Word] = &[
    Word::new("when", "TEST|any { … }|all { … }", "must hold")
        .example("when host is \"shop.example\"")
        .many()
        .role(Condition),
    Word::new("unless", "TEST|any { … }|all { … }", "must not hold")
        .example("unless client-ip in office")
        .many()
        .role(Condition),
    Word::new(
        "limit",
        "RATE [per client-ip [prefix N]|header \"n\"|cookie \"n\"|host] [burst N] [status N]",
        "refuses what is over a rate",
    )
    .more("See [`limit`](#limit).")
    .example("limit 20/s per client-ip")
    .many()
    .role(Step),
    Word::new("set-header", "\"NAME\" \"VALUE\"", "replaces every value of a request header")
        .example("set-header \"x-edge\" \"${listener}\"")
        .many()
        .role(Step),
    Word::new("add-header", "\"NAME\" \"VALUE\"", "adds a value to a request header")
        .example("add-header \"x-seen-by\" \"edge\"")
        .many()
        .role(Step),
    Word::new("remove-header", "\"NAME\"", "removes a request header")
        .example("remove-header \"x-debug\"")
        .many()
        .role(Step),
    Word::new("rewrite", "path|host|query \"…\"", "changes what the backend is asked for")
        .example("rewrite path \"/v2${path}\"")
        .many()
        .role(Step),
    Word::new("set-var", "\"NAME\" \"VALUE\"", "sets a variable of the request")
        .example("set-var \"tier\" \"gold\"")
        .many()
        .role(Step),
    Word::new("run", "EXTENSION", "runs an extension")
        .more("Its verdict may end the rule.")
        .example("run guest")
        .many()
        .role(Step),
    Word::new("mirror", "GROUP [P%]", "sends a copy to another server group, and forgets the answer")
        .more("The copy is what the backend gets. Without a percentage every request is copied. At most 8 in a rule.")
        .example("mirror api 10%")
        .many()
        .role(Step)
        .percent(1, 100, Some(100)),
    Word::new("cors", "{ … }", "lets pages of other origins use what this rule answers")
        .more(
            "Preflight requests are answered here with 204; other answers are marked on the way back, and marks that a \
             backend made are replaced. See [`cors`](#cors).",
        )
        .example("cors { origins [\"https://shop.example\"] }")
        .role(Step),
    Word::new("timeout", "D", "replaces the listener's `request-timeout`")
        .example("timeout 5m")
        .role(Step)
        .duration(ms(1), secs(3600), None)
        .default("the listener's"),
    Word::new("log", "\"TEXT\"", "writes a line to the gateway's log")
        .example("log \"${method} ${uri}\"")
        .many()
        .role(Step),
    Word::new("forward", "GROUP, or A weight N, B weight N [sticky D]", "sends the request to a server group")
        .more("Of several groups chance picks one, in proportion to the weights.")
        .example("forward web weight 90, api weight 10")
        .many()
        .role(Outcome),
    Word::new("redirect", "STATUS \"LOCATION\"", "sends the client elsewhere")
        .more(
            "The status is 301, 302, 303, 307 or 308. It leads to the host that its own text names, or else stays on this one: \
             see [Texts](#texts).",
        )
        .example("redirect 308 \"https://${host}${uri}\"")
        .many()
        .role(Outcome),
    Word::new("respond", "STATUS [\"BODY\"] [type \"…\"]", "answers")
        .more("The status is 200 to 599; 204, 205 and 304 have no body.")
        .example("respond 403 \"forbidden\\n\"")
        .many()
        .role(Outcome),
    Word::new("close", "", "closes the connection without an answer").example("close").many().role(Outcome),
    Word::new("on-response", "{ … }", "is done to the response")
        .example("on-response { remove-header \"server\" }")
        .many()
        .role(WayBack),
];

pub(super) const ON_RESPONSE: &[Word] = &[
    Word::new("when", "TEST|any { … }|all { … }", "must hold")
        .example("on-response { when status is 5xx; set-header \"x-sorry\" \"yes\" }")
        .many()
        .role(Condition),
    Word::new("unless", "TEST|any { … }|all { … }", "must not hold")
        .example("on-response { unless status is [2xx, 3xx]; log \"${status} ${uri}\" }")
        .many()
        .role(Condition),
    Word::new("set-header", "\"NAME\" \"VALUE\"", "replaces every value of a response header")
        .example("on-response { set-header \"cache-control\" \"no-store\" }")
        .many()
        .role(Step),
    Word::new("add-header", "\"NAME\" \"VALUE\"", "adds a value to a response header")
        .example("on-response { add-header \"vary\" \"cookie\" }")
        .many()
        .role(Step),
    Word::new("remove-header", "\"NAME\"", "removes a response header")
        .example("on-response { remove-header \"server\" }")
        .many()
        .role(Step),
    Word::new("set-var", "\"NAME\" \"VALUE\"", "sets a variable, for later steps and the access log")
        .example("on-response { set-var \"outcome\" \"${status}\" }")
        .many()
        .role(Step),
    Word::new("log", "\"TEXT\"", "writes a line to the gateway's log")
        .example("on-response { log \"${status} ${uri}\" }")
        .many()
        .role(Step),
];

pub(super) const REWRITE: &[Word] = &[
    Word::new("path", "\"…\"", "the path")
        .more("It begins with `/`; the query stays.")
        .example("rewrite path \"/v2${path}\""),
    Word::new("host", "\"…\"", "the `Host` that the backend sees").example("rewrite host \"internal.example\""),
    Word::new("query", "\"…\"", "the query, without `?`; empty removes it").example("rewrite query \"page=1\""),
];

pub(super) const LIMIT: &[Word] = &[
    Word::new("per", "client-ip [prefix N]|header \"n\"|cookie \"n\"|host", "counts each value on its own")
        .example("limit 20/s per header \"authorization\"")
        .default("all requests together"),
    Word::new("prefix", "N", "how much of an IPv6 address is one client, for `per client-ip`")
        .more("A network of 64 bits is what one household or one machine has, so that all its addresses are one client. IPv4 counts by address.")
        .example("limit 20/s per client-ip prefix 56")
        .count(32, 128, Some(LimitKey::CLIENT_PREFIX as u64)),
    Word::new("burst", "N", "requests that may come at once")
        .example("limit 20/s burst 100")
        .count(1, 1_000_000_000, None)
        .default("the number of the rate"),
    Word::new("status", "N", "the status of a refusal").example("limit 20/s status 429").count(400, 599, Some(503)),
];

pub(super) const LIMIT_KEY: &[Word] = &[
    Word::new("client-ip", "[prefix N]", "the address of the client; of an IPv6 address, its network")
        .example("limit 20/s per client-ip"),
    Word::new("header", "\"NAME\"", "the first value of a header").example("limit 20/s per header \"authorization\""),
    Word::new("cookie", "\"NAME\"", "the first value of a cookie").example("limit 20/s per cookie \"session\""),
    Word::new("host", "", "the host"),
];

pub(super) const TARGET: &[Word] = &[
    Word::new("weight", "N", "its share of the requests")
        .more("0 takes none; not all can be 0.")
        .example("forward web weight 90, api weight 10")
        .count(0, 65535, Some(1)),
    Word::new("sticky", "D", "how long a client keeps the group that was chosen for it; stands last")
        .more(
            "The choice is kept in a cookie named after the rules and the rule, so it survives reloads. A client whose \
             group is no longer among those of the rule, or has weight 0, gets a new one.",
        )
        .example("forward web weight 90, api weight 10 sticky 1h")
        .duration(secs(1), secs(400 * 24 * 3600), None)
        .default("a choice for each request"),
];

pub(super) const RESPOND: &[Word] = &[Word::new("type", "\"MEDIA TYPE\"", "the media type of the body")
    .example("respond 200 \"<p>hello</p>\" type \"text/html\"")
    .default("text/plain; charset=utf-8")];

pub(super) const CORS: &[Word] = &[
    Word::new("origins", "[\"ORIGIN\", …] or \"*\"", "origins that may ask")
        .more(
            "An origin is scheme, host and perhaps a port. `*` in one is any run of characters; `\"*\"` alone is every \
             origin.",
        )
        .example("origins [\"https://shop.example\", \"https://*.shop.example\"]"),
    Word::new("methods", "[METHOD, …]", "methods that they may use")
        .example("methods [GET, PUT]")
        .default("[GET, HEAD, POST]"),
    Word::new("headers", "[\"NAME\", …] or \"*\"", "request headers that they may send")
        .more("`\"*\"` is whatever the browser asks for. A few simple ones are always allowed.")
        .example("headers [\"authorization\"]")
        .default("[]"),
    Word::new("expose", "[\"NAME\", …]", "response headers that they may read, beside a few simple ones")
        .example("expose [\"x-request-id\"]")
        .default("[]"),
    Word::new("credentials", "on|off", "whether they may send cookies; not together with every origin")
        .example("credentials on")
        .switch(false),
    Word::new("max-age", "D", "how long a browser may remember the answer to a preflight request")
        .more("Browsers have bounds of their own: two hours in some, a day in others.")
        .example("max-age 1h")
        .duration(secs(0), secs(48 * 3600), Some(secs(600))),
];
