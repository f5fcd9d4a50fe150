
// === The rounds: one request at a time, slower while nobody answers, none while nobody looks

const ROUND_MS = 2_000;
const PAUSE_MS = 500;
const BACK_OFF_MS = 30_000;

const rounds = { number: 0, failed: 0, begun: 0, timer: null, running: null };

async function askAll() {
  rounds.number += 1;
  for (const source of SOURCES) {
    if (document.hidden) return;
    if (!isDue(source, rounds.number)) continue;
    // The first page need not wait for a second.
    if (source.name === "live" && history.length === 0) draw();
    await refresh(source, rounds.number);
  }
  sample();
}

async function round() {
  rounds.begun = Date.now();
  try {
    await askAll();
    rounds.failed = 0;
    $("trouble").hidden = true;
    if (!$("token-form").hidden && tokenFor === "read") closeToken();
  } catch (problem) {
    rounds.failed += 1;
    if (problem.status === 401) return needToken(problem);
    trouble(problem);
  }
  draw();
  planNext();
}

/** Asks for a token and waits for it: another round would be refused, too. */
function needToken(problem) {
  const hadOne = tokens.reader() !== null;
  tokens.keep("read", null);
  tokens.keep("operate", null);
  operating = false;
  askToken("read", hadOne ? problem.message : "This gateway shows itself to those with the read-token, or the operate-token, of its policy.");
}

function trouble(problem) {
  const why = problem instanceof Problem ? problem.message : "the gateway does not answer";
  const since = seen.status ? " What stands below is the last that it said." : "";
  $("trouble").textContent = `Not up to date: ${why}. Asked again in ${duration(Math.round(pause() / 1000))}.${since}`;
  $("trouble").hidden = false;
}

const pause = () => Math.min(BACK_OFF_MS, ROUND_MS * 2 ** Math.min(rounds.failed, 5));

function planNext() {
  clearTimeout(rounds.timer);
  rounds.timer = document.hidden ? null : setTimeout(again, Math.max(PAUSE_MS, pause() - (Date.now() - rounds.begun)));
}

/** A round now; one that is under way already is waited for before. */
async function again() {
  clearTimeout(rounds.timer);
  rounds.running = (rounds.running ?? Promise.resolve()).then(round);
  await rounds.running;
}

/** The parts of the page. One that cannot be shown, because a newer gateway says what nobody foresaw, takes no other with it. */
const PARTS = [drawHeadline, drawRefusal, drawGlance, drawLive, drawListeners, drawGroups, drawRules, drawCertificates, drawExtensions,
  drawGenerations, drawErrors];

function draw() {
  if (!seen.status) return;
  for (const part of PARTS) {
    try {
      part();
    } catch (error) {
      console.error(part.name, error);
    }
  }
}

/** Forgets what the API said: it was for those with a token. */
function clear() {
  endLog();
  history.length = 0;
  for (const source of SOURCES) {
    delete seen[source.name];
    delete missing[source.name];
    delete source.asked;
  }
  document.querySelectorAll("main .body, main .answer, #refusal, #headline").forEach((place) => place.replaceChildren());
}

// === What the reader does

const THEMES = ["system", "light", "dark"];

function showTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = `Colours: ${theme === "system" ? "as the system" : theme}`;
}

const ACTS = {
  theme() {
    const now = document.documentElement.dataset.theme;
    const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    localStorage.setItem("tidegate.theme", next);
    showTheme(next);
  },
  operate: () => (operating ? leaveOperating() : enterOperating()),
  forget() {
    tokens.keep("read", null);
    tokens.keep("operate", null);
    showOperating(false);
    clear();
    return again();
  },
  "token-cancel": closeToken,
  yes: () => $("question").close("yes"),
  no: () => $("question").close(""),
  "log-stop"() {
    endLog();
    say("log-state", "Not followed.");
  },
  "log-clear"() {
    $("log-lines")?.replaceChildren();
    [...explainable.keys()].filter((number) => number.startsWith("log ")).forEach((number) => explainable.delete(number));
  },
  explain: ({ line }) => explainLine(explainable.get(line)),
  start: carryOut,
  stop: carryOut,
  drain: carryOut,
  server: carryOut,
};

const FORMS = {
  "token-form": takeToken,
  "log-form": () => follow($("when").value.trim()),
  "explain-form": explain,
  "plan-form": plan,
};

document.addEventListener("click", (event) => {
  const pressed = event.target.closest("[data-act]");
  if (pressed) ACTS[pressed.dataset.act]({ ...pressed.dataset });
});
document.addEventListener("submit", (event) => {
  event.preventDefault();
  FORMS[event.target.id]?.();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(rounds.timer);
  else again();
});

const kept = localStorage.getItem("tidegate.theme");
showTheme(THEMES.includes(kept) ? kept : "system");
tokens.keep("read", tokens.of("read"));
again();
