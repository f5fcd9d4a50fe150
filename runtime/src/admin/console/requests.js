
// === Requests: those that were refused, the log, and what the policy makes of one

/** The lines whose requests can be explained, by the number that their button has. */
const explainable = new Map();
let explainableNext = 0;

function explainButton(entry, number) {
  if (!entry.method || !entry.uri || !entry.host) return null;
  explainable.set(number, entry);
  return h("button", { type: "button", "data-act": "explain", "data-line": number }, "Explain");
}

const isNumber = Number.isFinite;

function drawErrors() {
  const none = absent("errors");
  if (none) return fill(body("errors"), none);
  const errors = seen.errors.errors;
  if (errors.length === 0) return fill(body("errors"), quiet("No request was refused."));
  const at = (index, ...path) => ["errors", "errors", index, ...path];
  const to = (one) => one.group || one.server;
  fill(body("errors"), table("The last refused requests, the newest first", [
    ["Time", (_, i) => moment(...at(i, "time"))],
    ["Status", (one, i) => [figure(...at(i, "status")), isNumber(one.upstream_status) && h("small", null, "the server said ", figure(...at(i, "upstream_status")))]],
    ["Failure", (one, i) => [text(...at(i, "failure")), one.side && h("small", null, "side: ", text(...at(i, "side"))),
      isNumber(one.offset) && h("small", null, "in the first ", figure(...at(i, "offset")), " bytes")]],
    ["Request", (_, i) => h("span", { class: "mono request" }, text(...at(i, "method")), " ", text(...at(i, "host")), text(...at(i, "uri")))],
    ["Listener", (one, i) => [text(...at(i, "listener")), one.rule && h("small", null, "rule ", text(...at(i, "rule")))]],
    ["Client", (_, i) => text(...at(i, "client_ip"))],
    ["Server", (one, i) => to(one) && [text(...at(i, "group")), " ", text(...at(i, "server"))]],
    ["ms", (_, i) => figure(...at(i, "ms")), "number"],
    ["Request id", (one, i) => [h("span", { class: "mono" }, text(...at(i, "request_id"))),
      isNumber(one.generation) && h("small", null, "generation ", figure(...at(i, "generation")))]],
    ["Why", (one, i) => explainButton(one, `error ${i}`)],
  ], errors));
}

// --- The log

/** Lines that are shown; the oldest go first. */
const LOG_LINES = 300;
/** How long lines are gathered before they are shown. */
const LOG_MS = 250;
/** What one event may be long; a longer one is no line of the log. */
const LOG_EVENT = 256 * 1024;

const log = { stop: null, waiting: [], timer: null, shown: 0, skipped: 0 };

async function follow(when) {
  log.stop?.abort();
  const stop = new AbortController();
  Object.assign(log, { stop, skipped: 0 });
  $("log-stop").disabled = false;
  say("log-state", "Connecting.");
  try {
    const path = when ? `/v1/log?when=${encodeURIComponent(when)}` : "/v1/log";
    const response = await request(path, tokens.reader(), { signal: stop.signal, headers: { accept: "text/event-stream" } });
    if (response.status === 404) throw new Problem(404, "this gateway does not have it");
    if (!response.ok) throw await problemOf(response);
    say("log-state", when ? `Followed where ${when}` : "Followed.");
    await events(response.body, logEvent);
    say("log-state", "The gateway ended it. Follow it again when you like.");
  } catch (problem) {
    if (!stop.signal.aborted) say("log-state", problem instanceof Problem ? `Not followed: ${problem.message}` : "Not followed: the connection broke off.");
  }
  if (log.stop === stop) endLog();
}

function endLog() {
  log.stop?.abort();
  log.stop = null;
  $("log-stop").disabled = true;
}

/** Reads server-sent events (HTML, 9.2.6), which are told one after another. */
async function events(stream, tell) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let left = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    left = (left + value).replaceAll("\r\n", "\n");
    const whole = left.split("\n\n");
    left = whole.pop();
    if (left.length > LOG_EVENT) throw new Problem(0, "an event has no end");
    whole.forEach((event) => tell(...eventOf(event)));
  }
}

function eventOf(text) {
  const fields = text.split("\n").map((line) => /^(\w+): ?(.*)$/.exec(line)).filter(Boolean);
  const kind = fields.find(([, name]) => name === "event")?.[2] ?? "message";
  return [kind, fields.filter(([, name]) => name === "data").map(([, , value]) => value).join("\n")];
}

function logEvent(kind, data) {
  if (data === "" || kind === "watching") return;
  let entry;
  try {
    entry = JSON.parse(data);
  } catch {
    return;
  }
  if (kind === "skipped") {
    log.skipped += entry.count ?? 0;
    say("log-state", `Followed; ${count(log.skipped, "line")} left out, because they came too fast.`);
    return;
  }
  log.waiting.push(entry);
  if (log.waiting.length > LOG_LINES) log.waiting.shift();
  log.timer ??= setTimeout(showLog, LOG_MS);
}

/** Puts the lines that came before those that are there. */
function showLog() {
  log.timer = null;
  let lines = $("log-lines");
  if (!lines) {
    const heads = ["Time", "Status", "ms", "Request", "Listener", "Client", "Rule", "Server", "More"];
    fill(body("log"), h("div", { class: "scroll low", tabindex: "0", role: "region", "aria-label": "Lines of the log" },
      h("table", { class: "cards", role: "table" }, h("caption", null, h("span", { class: "unseen" }, "Lines of the log, the newest first")),
        h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads.map((head) => h("th", { scope: "col", role: "columnheader" }, head)))),
        h("tbody", { id: "log-lines", role: "rowgroup" }))));
    lines = $("log-lines");
  }
  lines.prepend(...log.waiting.splice(0).reverse().map(logLine));
  while (lines.children.length > LOG_LINES) {
    explainable.delete(lines.lastElementChild.dataset.line);
    lines.lastElementChild.remove();
  }
}

function logLine(entry) {
  const number = `log ${explainableNext++}`;
  const cell = (head, ...content) => h("td", { role: "cell", "data-head": head }, content);
  const tone = entry.status >= 500 ? "bad" : entry.status >= 400 ? "busy" : null;
  return h("tr", { role: "row", "data-line": number },
    h("th", { scope: "row", role: "rowheader" }, entry.time ? clock(entry.time) : NONE),
    cell("Status", h("span", { class: tone }, entry.status, entry.failure && h("small", null, ` ${entry.failure}`))),
    cell("ms", Number.isFinite(entry.ms) ? digits(entry.ms) : NONE),
    cell("Request", h("span", { class: "mono request" }, `${entry.method ?? NONE} ${entry.host ?? ""}${entry.uri ?? ""}`)),
    cell("Listener", entry.listener),
    cell("Client", entry.client_ip),
    cell("Rule", entry.rule),
    cell("Server", entry.group, " ", entry.server),
    cell("More", explainButton(entry, number), h("details", null, h("summary", null, "All"), source(JSON.stringify(entry, null, 2), "All of the line"))));
}

// --- Explain and plan

/** Asks about the request of a line. */
function explainLine(entry) {
  const listener = seen.listeners?.listeners.find((one) => one.name === entry.listener);
  const scheme = listener?.protocol === "http" ? "http" : "https";
  $("explain-request").value = `${entry.method} ${scheme}://${entry.host}${entry.uri}`;
  $("explain-listener").value = listener?.name ?? "";
  $("explain-from").value = entry.client_ip ?? "";
  $("explain-answer").value = "";
  $("explain-headers").value = entry.user_agent ? `user-agent: ${entry.user_agent}` : "";
  $("explain-title").focus();
  return explain();
}

async function explain() {
  const lines = $("explain-headers").value.split("\n").filter((line) => line.trim() !== "");
  const content = {
    request: $("explain-request").value.trim(),
    headers: lines.map((line) => line.split(/:(.*)/s).slice(0, 2).map((part) => (part ?? "").trim())),
    listener: $("explain-listener").value.trim() || null,
    from: $("explain-from").value.trim() || null,
    answer: Number($("explain-answer").value) || null,
  };
  await answerTo("explain", async () => {
    const { shown } = await question("/v1/explain", content);
    return source(shown, "The way of the request");
  });
}

async function plan() {
  await answerTo("plan", async () => {
    const { result, shown, diagnostics, reason } = await question("/v1/plan", { policy: $("plan-policy").value });
    const isRefused = result === "refused";
    const words = isRefused ? `It would be refused: ${count(diagnostics.filter(isMistake).length, "mistake")}.` : "It would be taken into service.";
    return [h("p", { class: isRefused ? "bad" : "good" }, h("strong", null, words), reason && ` ${reason}`),
      shown.trim() === "" ? quiet("Nothing would change.") : (isRefused ? source : diff)(shown, "What would change, or is wrong")];
  });
}

async function answerTo(section, work) {
  const place = document.querySelector(`#${section} .answer`);
  try {
    fill(place, await work());
  } catch (problem) {
    fill(place, h("p", { class: "bad" }, problem.message));
  }
}
