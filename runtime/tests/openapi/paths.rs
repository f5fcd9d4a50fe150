//! The paths of the admin API, with what each takes and says.

use serde_json::{Map, Value, json};

/// Every path.
pub(crate) fn all() -> Value {
    let mut paths = Map::new();
    for (path, item) in [
        ("/", open(get("The console: a page for people, which asks the paths below", &any("text/html")))),
        ("/v1/openapi.json", open(get("This description", &any("application/json")))),
        ("/live", get("Whether the process lives", &any("text/plain"))),
        ("/ready", unready(get("Whether clients may be sent here", &any("text/plain")))),
        ("/metrics", get("Everything that is counted", &metrics())),
        ("/v1/live", crowded(get("Rates and latencies of each second; with `?once`, of one", &live()))),
        (
            "/v1/log",
            crowded(refusing(get(
                "Lines of the access log as requests end; `?when=` is a condition of the language",
                &any("text/event-stream"),
            ))),
        ),
        ("/v1/errors", get("The last requests that failed", &json_of("ErrorList"))),
        ("/v1/status", get("The gateway at a glance", &json_of("Status"))),
        ("/v1/listeners", get("The listeners, with the state of each", &json_of("ListenerList"))),
        ("/v1/listeners/{listener}", named(get("A listener", &json_of("ListenerView")))),
        ("/v1/listeners/{listener}/start", post("Opens the sockets of a listener", "StartOrder", "Done", false)),
        ("/v1/listeners/{listener}/stop", post("Closes the sockets of a listener", "StopOrder", "Done", false)),
        ("/v1/groups", get("The server groups, with what is known of their servers", &json_of("GroupList"))),
        ("/v1/groups/{group}", named(get("A server group", &json_of("GroupView")))),
        ("/v1/groups/{group}/servers/{server}", post("Drains, stops or starts a server", "ServerOrder", "Done", true)),
        ("/v1/extensions", get("The extensions, with what is counted of them", &json_of("ExtensionList"))),
        ("/v1/certificates", get("The certificates, and how long they hold", &json_of("CertificateList"))),
        (
            "/v1/generations",
            get("The last policies that were read, and what became of them", &json_of("GenerationList")),
        ),
        ("/v1/plan", plan()),
        ("/v1/explain", explain()),
    ] {
        paths.insert(path.to_owned(), with_parameters(path, item));
    }
    Value::Object(paths)
}

fn any(media_type: &str) -> Value {
    json!({ media_type: {} })
}

/// The formats of a scrape.
fn metrics() -> Value {
    json!({
        "text/plain; version=0.0.4; charset=utf-8": {},
        "application/openmetrics-text; version=1.0.0; charset=utf-8": {}
    })
}

/// One look, or events whose data are each one.
fn live() -> Value {
    json!({ "application/json": { "schema": reference("Live") }, "text/event-stream": {} })
}

fn crowded(mut item: Value) -> Value {
    item["get"]["responses"]["503"] = problem("Too many streams are open already");
    item
}

fn refusing(mut item: Value) -> Value {
    item["get"]["responses"]["400"] = problem("The condition has a mistake");
    item
}

fn json_of(name: &str) -> Value {
    json!({ "application/json": { "schema": reference(name) } })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn problem(description: &str) -> Value {
    let content = json!({ "application/problem+json": { "schema": reference("Problem") } });
    json!({ "description": description, "content": content })
}

/// Answers that every path has.
fn responses(description: &str, content: &Value) -> Value {
    json!({
        "200": { "description": description, "content": content },
        "401": problem("A token is missing, or is another one"),
        "403": problem("Whoever asks may not"),
        "405": problem("The path takes other methods"),
        "421": problem("Without a token, only the address or `localhost` is asked")
    })
}

fn get(summary: &str, content: &Value) -> Value {
    json!({ "get": { "summary": summary, "responses": responses(summary, content) } })
}

fn named(mut item: Value) -> Value {
    item["get"]["responses"]["404"] = problem("The policy has no such thing");
    item
}

fn unready(mut item: Value) -> Value {
    item["get"]["responses"]["503"] = problem("Clients are better sent elsewhere");
    item
}

fn open(mut item: Value) -> Value {
    item["get"]["security"] = json!([]);
    item
}

fn post(summary: &str, order: &str, answer: &str, must_say: bool) -> Value {
    let mut responses = responses(summary, &json_of(answer));
    for (status, description) in [
        ("202", "The order is queued: a policy is being read"),
        ("400", "The body cannot be read"),
        ("404", "The policy has no such thing"),
        ("408", "The body did not arrive in time"),
        ("409", "It cannot be done now, for a reason outside of the policy"),
        ("413", "The body is too large"),
        ("415", "The body has another media type"),
        ("503", "Too many orders wait already"),
    ] {
        responses[status] = problem(description);
    }
    let body = json!({ "required": must_say, "content": json_of(order) });
    json!({ "post": { "summary": summary, "requestBody": body, "responses": responses } })
}

/// The path takes a policy as text, too, and changes nothing.
fn plan() -> Value {
    let mut item = post("What would become of the gateway with another policy", "PlanOrder", "PlanView", true);
    item["post"]["requestBody"]["content"]["text/plain"] = json!({});
    asks(item)
}

fn explain() -> Value {
    let mut item = post("A request through the policy in service", "ExplainOrder", "ExplainView", true);
    item["post"]["responses"]["422"] = problem("The request is refused before any rule");
    asks(item)
}

/// A question that comes by POST.
fn asks(mut item: Value) -> Value {
    let responses = item["post"]["responses"].as_object_mut().expect("responses");
    for status in ["202", "404", "409"] {
        responses.remove(status);
    }
    item
}

fn with_parameters(path: &str, mut item: Value) -> Value {
    let names = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let parameters =
        names.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let parameters: Vec<Value> = parameters.collect();
    if !parameters.is_empty() {
        item["parameters"] = Value::Array(parameters);
    }
    item
}
