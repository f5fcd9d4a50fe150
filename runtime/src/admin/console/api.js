
// === Asking the API

/** An answer that is none: what the API says of it. */
class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const ANSWER_MS = 10_000;
/** An order may wait for 30 seconds behind a policy that is read. */
const ORDER_MS = 40_000;

/** The last answers of the API, by the name of their source; and what became of those that are not there. */
const seen = {};
const missing = {};

/** What is asked, and how often: each so many rounds, or when the policy in service changed. */
const SOURCES = [
  { name: "status", path: "/v1/status", every: 1 },
  { name: "listeners", path: "/v1/listeners", every: 1 },
  { name: "groups", path: "/v1/groups", every: 1 },
  { name: "errors", path: "/v1/errors", every: 2 },
  { name: "extensions", path: "/v1/extensions", every: 4 },
  { name: "generations", path: "/v1/generations", every: 30 },
  { name: "certificates", path: "/v1/certificates", every: 30 },
  // It looks for a second before it answers.
  { name: "live", path: "/v1/live?once", every: 1 },
];

/** Rounds until a path that is not there is asked for again: the gateway may have been upgraded. */
const ROUNDS_MISSING = 60;

/** Tokens last as long as this tab. One that may change something is kept apart, so that it can be dropped. */
const tokens = {
  of(kind) {
    return sessionStorage.getItem(`tidegate.${kind}`);
  },
  keep(kind, token) {
    if (token) sessionStorage.setItem(`tidegate.${kind}`, token);
    else sessionStorage.removeItem(`tidegate.${kind}`);
    $("forget").hidden = !this.of("read") && !this.of("operate");
  },
  reader() {
    return this.of("read") ?? this.of("operate");
  },
  operator() {
    return this.of("operate") ?? this.of("read");
  },
};

/** A request to the API, by its token. */
function request(path, token, options) {
  const headers = { ...options.headers };
  if (token) headers.authorization = `Bearer ${token}`;
  return fetch(path, { cache: "no-store", redirect: "error", ...options, headers });
}

/** What went wrong, in the API's words. */
async function problemOf(response) {
  let detail = response.statusText;
  try {
    detail = (await response.json()).detail ?? detail;
  } catch {
    // It is no answer of the API's.
  }
  return new Problem(response.status, detail);
}

async function read(path) {
  const response = await request(path, tokens.reader(), { signal: AbortSignal.timeout(ANSWER_MS) });
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

/** A question that is asked by POST: it changes nothing. */
async function question(path, content) {
  const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(content) };
  const response = await request(path, tokens.reader(), { ...options, signal: AbortSignal.timeout(ORDER_MS) });
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

/** An order. One that is queued is a problem in form, with the status 202. */
async function order(path, content, token = tokens.operator()) {
  const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(content) };
  const response = await request(path, token, { ...options, signal: AbortSignal.timeout(ORDER_MS) });
  if (response.status !== 200) throw await problemOf(response);
  return response.json();
}

/** Whether the API would take an order: it refuses one that says what no order says, and looks at the token before. */
async function mayOperate(token) {
  try {
    await order("/v1/listeners/-/start", { "": null }, token);
    return true;
  } catch (problem) {
    if (problem instanceof Problem && problem.status === 400) return true;
    throw problem;
  }
}

/** Brings one source up to date. Throws what ends the round: no token, nobody there. */
async function refresh(source, round) {
  try {
    seen[source.name] = await read(source.path);
    delete missing[source.name];
  } catch (problem) {
    const itself = problem instanceof Problem && ![401, 403, 421].includes(problem.status);
    if (!itself || source.name === "status") throw problem;
    delete seen[source.name];
    missing[source.name] = { status: problem.status, detail: problem.message, round };
  }
  source.asked = round;
  source.policy = policyNow();
}

/** The policy in service and the last that was read: what changes when one is read. */
const policyNow = () => `${seen.status?.generation} ${seen.status?.last_read?.at}`;

function isDue(source, round) {
  if (source.asked === undefined) return true;
  const since = round - source.asked;
  if (missing[source.name]?.status === 404) return since >= ROUNDS_MISSING;
  return since >= source.every || source.policy !== policyNow();
}

/** What stands where a source has no answer; null if it has one. */
function absent(name) {
  const why = missing[name];
  if (why?.status === 404) return quiet("This gateway does not have it.");
  if (why) return h("p", { class: "bad" }, `${why.status}: ${why.detail}`);
  return seen[name] ? null : quiet("Not asked yet.");
}
