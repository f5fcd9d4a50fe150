
// === Orders: nothing is changed before a token allows it, and a question is answered

let operating = false;
const isOperating = () => operating;

const button = (act, words, attributes) => h("button", { type: "button", "data-act": act, ...attributes }, words);

function listenerOrders(one) {
  const attributes = (what) => ({ "data-listener": one.name, "aria-label": `${what} listener ${one.name}` });
  if (one.state === "stopped") return button("start", "Start", attributes("Start"));
  return [one.state !== "draining" && button("drain", "Stop and drain", attributes("Stop and drain")), button("stop", "Stop", attributes("Stop")),
    one.state === "draining" && button("start", "Start", attributes("Start"))];
}

function serverOrders(group, server) {
  const to = (state, words) => button("server", words,
    { "data-group": group, "data-server": server.address, "data-state": state, "aria-label": `${words} server ${server.address} of ${group}` });
  return [server.state !== "running" && to("running", "Start"), server.state === "running" && to("draining", "Drain"),
    server.state !== "stopped" && to("stopped", "Stop")];
}

/** Asks before an order is sent; resolves to whether it is to be. */
function ask(title, words, yes) {
  const dialog = $("question");
  $("question-title").textContent = title;
  $("question-text").textContent = words;
  $("yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  dialog.querySelector("[data-act=no]").focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** The questions, and what is sent: by what the button asks for. */
const QUESTIONS = {
  start: ({ listener }) => ({
    title: `Start listener ${listener}?`, words: "Its sockets open, and clients are served.", yes: "Start it",
    path: `/v1/listeners/${encodeURIComponent(listener)}/start`, content: {},
  }),
  stop: ({ listener }) => ({
    title: `Stop listener ${listener} at once?`,
    words: `Its sockets close, and its ${count(connections(listener), "connection")} end now, with their requests. It stays stopped until it is started by hand, or its state changes in the policy.`,
    yes: "Stop it now", path: `/v1/listeners/${encodeURIComponent(listener)}/stop`, content: { drain: false },
  }),
  drain: ({ listener }) => ({
    title: `Stop and drain listener ${listener}?`,
    words: `Its sockets close; its ${count(connections(listener), "connection")} may finish their requests, within the time of the policy. It stays stopped until it is started by hand, or its state changes in the policy.`,
    yes: "Stop and drain it", path: `/v1/listeners/${encodeURIComponent(listener)}/stop`, content: { drain: true },
  }),
  server: ({ group, server, state }) => ({
    title: `${{ running: "Start", draining: "Drain", stopped: "Stop" }[state]} server ${server}?`,
    words: {
      running: `It gets requests of the group ${group}.`,
      draining: `It gets no new requests of the group ${group}, and finishes those that it has.`,
      stopped: `It gets no requests of the group ${group}, and no checks.`,
    }[state],
    yes: { running: "Start it", draining: "Drain it", stopped: "Stop it" }[state],
    path: `/v1/groups/${encodeURIComponent(group)}/servers/${encodeURIComponent(server)}`, content: { state },
  }),
};

const connections = (name) => seen.listeners?.listeners.find((one) => one.name === name)?.connections ?? 0;

/** Carries an order out, if it is meant. */
async function carryOut(asked) {
  const { title, words, yes, path, content } = QUESTIONS[asked.act](asked);
  if (!(await ask(title, words, yes))) return;
  const done = title.replace(/( at once)?\?$/, "");
  say("said", `${done}: sent.`);
  try {
    const { changed, generation } = await order(path, content);
    say("said", changed ? `${done}: done, generation ${generation}.` : `${done}: it was so already.`);
  } catch (problem) {
    say("said", `${done}: ${problem.message}`);
    if (problem.status === 401) leaveOperating();
  }
  await again();
  const row = document.querySelector(`[data-key="${CSS.escape(`${asked.server ? "server" : "listener"} ${asked.server ?? asked.listener}`)}"]`);
  if (document.activeElement === document.body) row?.querySelector("button")?.focus();
}

/** What was just said, for eyes and ears. */
function say(id, words) {
  $(id).textContent = words;
}

// --- Tokens

let tokenFor = "read";

/** Asks for a token: to read, or to operate. */
function askToken(kind, why) {
  const isNew = $("token-form").hidden || tokenFor !== kind;
  tokenFor = kind;
  $("token-form").hidden = false;
  $("token-cancel").hidden = kind === "read";
  $("token-why").textContent = why;
  if (isNew) $("token").focus();
}

function closeToken() {
  $("token").value = "";
  $("token-form").hidden = true;
}

async function takeToken() {
  const token = $("token").value.trim();
  if (!/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(token)) return say("token-why", "A token has visible ASCII letters alone, or a browser cannot send it.");
  if (tokenFor === "operate") return enterOperating(token);
  tokens.keep("read", token);
  closeToken();
  await again();
}

/** Begins to operate, with this token or with what allows it already. */
async function enterOperating(token) {
  try {
    await mayOperate(token ?? tokens.operator());
  } catch (problem) {
    if (problem.status === 401) return askToken("operate", problem.message);
    return say("said", `Nothing can be changed from here: ${problem.message}`);
  }
  if (token) tokens.keep("operate", token);
  closeToken();
  showOperating(true);
  say("said", "");
}

function leaveOperating() {
  tokens.keep("operate", null);
  showOperating(false);
}

function showOperating(on) {
  operating = on;
  $("operate").textContent = `Operate: ${on ? "on" : "off"}`;
  $("operate").classList.toggle("danger", on);
  draw();
}
