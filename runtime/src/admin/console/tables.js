
// === What there is: the gateway, listeners, servers, rules, certificates, extensions

function drawGlance() {
  const fact = (name, ...value) => h("div", null, h("dt", null, name), h("dd", null, value));
  const wide = (name, ...value) => h("div", { class: "wide" }, h("dt", null, name), h("dd", null, value));
  const listeners = ["running", "warming", "draining", "stopped"];
  const servers = ["healthy", "unhealthy", "unchecked"];
  const counts = (of, states) => states.map((state, at) => {
    const isBad = TONES[state] === "bad" && seen.status[of][state] > 0;
    return [at > 0 && ", ", h("span", { class: isBad && "bad" }, isBad && `${SIGNS.bad} `, figure("status", of, state), ` ${state}`)];
  });
  fill(body("glance"), h("dl", { class: "facts" },
    fact("Connections", figure("status", "connections")),
    fact("Up", figureAs(duration, "status", "uptime_seconds")),
    wide("Listeners", counts("listeners", listeners)),
    wide("Servers", counts("servers", servers)),
    seen.status.last_read && wide("Last policy read", state("status", "last_read", "result"), " ", moment("status", "last_read", "at"),
      h("small", null, ", ", text("status", "last_read", "cause"))),
    fact("Started", moment("status", "started")),
    fact("Workers", figure("status", "workers")),
    fact("Process", figureAs(String, "status", "pid"))));
}

/** The place of what `/v1/live` says of a listener or a group; -1 if it says nothing. */
const liveAt = (kind, name) => seen.live?.[kind]?.findIndex((one) => one.name === name) ?? -1;

/** Columns of `/v1/live`, if it is there. */
function liveColumns(kind) {
  if (!seen.live) return [];
  const value = (...path) => (one) => {
    const at = liveAt(kind, one.name);
    return at < 0 ? NONE : figure("live", kind, at, ...path);
  };
  const own = kind === "listeners" ? [["In flight", value("in_flight"), "number"]] : [];
  return [...own, ["Requests /s", value("requests_per_second"), "number"], ["p50 ms", value("latency_ms", "p50"), "number"],
    ["p99 ms", value("latency_ms", "p99"), "number"]];
}

function drawListeners() {
  const none = absent("listeners");
  if (none) return fill(body("listeners"), none);
  const at = (index, ...path) => ["listeners", "listeners", index, ...path];
  const columns = [
    ["Name", (one, i) => [text(...at(i, "name")), Object.keys(one.labels).map((label) =>
      [" ", h("span", { class: "label" }, `${label}=`, text(...at(i, "labels", label)))])]],
    ["Address", (_, i) => [text(...at(i, "protocol")), " ", text(...at(i, "bind"))]],
    ["State", (one, i) => [state(...at(i, "state")), one.by_hand && h("small", null, "changed by hand")]],
    ["Since", (_, i) => moment(...at(i, "since"))],
    ["Why", (_, i) => text(...at(i, "reason"))],
    ["Connections", (_, i) => h("span", null, figure(...at(i, "connections")), " of ", figure(...at(i, "connection_limit"))), "number"],
    ...liveColumns("listeners"),
    ["Leads to", (one, i) => [one.rules ? ["rules ", text(...at(i, "rules"))] : one.forward.join(", "),
      one.extensions.length > 0 && h("small", null, `after ${one.extensions.join(", ")}`)]],
    ...(isOperating() ? [["Orders", listenerOrders]] : []),
  ];
  const leaving = seen.listeners.leaving;
  const there = (index, ...path) => ["listeners", "leaving", index, ...path];
  fill(body("listeners"),
    table("Listeners of the policy", columns, seen.listeners.listeners, { key: (one) => `listener ${one.name}` }),
    leaving.length > 0 && [h("h3", null, "Leaving: the policy has them no more"), table("Listeners that finish their requests", [
      ["Name", (_, i) => text(...there(i, "name"))],
      ["State", (_, i) => state(...there(i, "state"))],
      ["Since", (_, i) => moment(...there(i, "since"))],
      ["Connections", (_, i) => figure(...there(i, "connections")), "number"],
    ], leaving)]);
}

function drawGroups() {
  const none = absent("groups");
  if (none) return fill(body("groups"), none);
  if (seen.groups.groups.length === 0) return fill(body("groups"), quiet("The policy has no server group."));
  fill(body("groups"), seen.groups.groups.map(group));
}

function group(one, index) {
  const at = (...path) => ["groups", "groups", index, ...path];
  const of = (i, ...path) => at("servers", i, ...path);
  const live = liveAt("groups", one.name);
  const columns = [
    ["Server", (server, i) => [text(...of(i, "address")), server.backup && h("small", null, "backup")]],
    ["State", (server, i) => [state(...of(i, "state")), server.by_hand && h("small", null, "changed by hand")]],
    ["Health", (_, i) => state(...of(i, "health"))],
    ["Last check", (server, i) => server.last_check && [h("span", { class: "line" }, moment(...of(i, "last_check", "at")),
      h("small", null, ", took ", figure(...of(i, "last_check", "ms")), " ms")),
      server.last_check.error && h("div", { class: "bad" }, text(...of(i, "last_check", "error")))]],
    ["Weight", (_, i) => figure(...of(i, "weight")), "number"],
    ...(one.servers.some((server) => Number.isFinite(server.in_flight)) ? [["In flight", (_, i) => figure(...of(i, "in_flight")), "number"]] : []),
    ...(isOperating() ? [["Orders", (server) => serverOrders(one.name, server)]] : []),
  ];
  return h("div", { "data-key": `group ${one.name}` },
    h("h3", null, text(...at("name"))),
    h("p", { class: one.available === 0 ? "bad" : "quiet" }, text(...at("protocol")), ", ", figure(...at("available")), " of ",
      h("data", { value: one.servers.length }, digits(one.servers.length)), " available",
      live >= 0 && [", ", figure("live", "groups", live, "requests_per_second"), " requests /s, p50 ",
        figure("live", "groups", live, "latency_ms", "p50"), " ms, p99 ", figure("live", "groups", live, "latency_ms", "p99"), " ms"]),
    table(`Servers of ${one.name}`, columns, one.servers, { key: (server) => `server ${server.address}` }));
}

function drawRules() {
  const rules = seen.live?.rules;
  if (!rules) return fill(body("rules"), seen.live ? quiet("This gateway does not count them.") : absent("live"));
  const places = rules.map((rule, index) => ({ ...rule, index }));
  const hit = places.filter((rule) => rule.total > 0).sort((a, b) => b.total - a.total);
  const never = places.filter((rule) => rule.total === 0);
  const columns = [
    ["Rule", (rule) => text("live", "rules", rule.index, "rule")],
    ["Listener", (rule) => text("live", "rules", rule.index, "listener")],
    ["Requests", (rule) => figure("live", "rules", rule.index, "total"), "number"],
  ];
  const key = (rule) => `rule ${rule.listener} ${rule.rule}`;
  fill(body("rules"),
    hit.length > 0 ? table("Rules that decided, the most frequent first", columns, hit, { key }) : quiet("No rule has decided yet."),
    never.length > 0 && h("details", { "data-key": "never" }, h("summary", null, count(never.length, "rule"), " never hit"),
      table("Rules that never decided", columns, never, { key })));
}

/** Days below which a certificate is to be renewed now. */
const DAYS_WARNED = 14;

function drawCertificates() {
  const none = absent("certificates");
  if (none) return fill(body("certificates"), none);
  if (seen.certificates.certificates.length === 0) return fill(body("certificates"), quiet("The policy has no certificate."));
  const at = (index, ...path) => ["certificates", "certificates", index, ...path];
  const left = (one, i) => {
    const word = one.days_left < 0 ? "ended" : one.days_left < DAYS_WARNED ? "ends soon" : null;
    return h("span", { class: word && "bad" }, figure(...at(i, "days_left")), word && [" ", h("strong", null, `${SIGNS.bad} ${word}`)]);
  };
  fill(body("certificates"), table("Certificates", [
    ["Name", (_, i) => [text(...at(i, "name")), h("small", null, text(...at(i, "chain")))]],
    ["Days left", left],
    ["Ends", (_, i) => text(...at(i, "not_after"))],
    ["For", (one) => one.names.join(", ")],
    ["Shown by", (one) => one.listeners.join(", ") || "no listener"],
    ["Staple until", (_, i) => text(...at(i, "staple_until"))],
  ], seen.certificates.certificates, { key: (one) => `certificate ${one.name}` }));
}

function drawExtensions() {
  const none = absent("extensions");
  if (none) return fill(body("extensions"), none);
  if (seen.extensions.extensions.length === 0) return fill(body("extensions"), quiet("The policy has no extension."));
  fill(body("extensions"), seen.extensions.extensions.map((one, index) => {
    const at = (...path) => ["extensions", "extensions", index, ...path];
    const metrics = Object.keys(one.metrics);
    return h("div", { "data-key": `extension ${one.name}` }, h("h3", null, text(...at("name"))),
      h("p", { class: "quiet" }, text(...at("module")), ", ABI ", text(...at("abi")), ", instances ", text(...at("instance")),
        ", at most ", figureAs(bytes, ...at("memory_bytes")), " and ", figure(...at("time_ms")), " ms a call"),
      metrics.length === 0 ? quiet("Nothing is counted of it yet.")
        : h("dl", { class: "facts" }, metrics.map((name) => h("div", { "data-key": name }, h("dt", null, name), h("dd", null, figure(...at("metrics", name)))))));
  }));
}
