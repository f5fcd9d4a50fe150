
// === Values as people read them

/** What stands for no value. */
const NONE = "–";

/** A value of an answer, and the words that say where it stands there: `listeners /listeners/0/connections`. */
function look([name, ...path]) {
  const value = path.reduce((value, step) => value?.[step], seen[name]);
  const escaped = path.map((step) => String(step).replaceAll("~", "~0").replaceAll("/", "~1"));
  return { value, of: `${name} /${escaped.join("/")}` };
}

/** A number with its digits in groups of three. */
function digits(value) {
  const places = Number.isInteger(value) ? 0 : Math.abs(value) < 1 ? 3 : Math.abs(value) < 10 ? 2 : 1;
  const [whole, part] = value.toFixed(places).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, "\u202f");
  return part ? `${grouped}.${part}` : grouped;
}

/** A number of an answer. */
function figure(...path) {
  const { value, of } = look(path);
  return typeof value === "number" ? h("data", { value, "data-of": of }, digits(value)) : NONE;
}

/** A number of an answer in other words than digits. */
function figureAs(words, ...path) {
  const { value, of } = look(path);
  return typeof value === "number" ? h("data", { value, "data-of": of, "data-words": true }, words(value)) : NONE;
}

/** A text of an answer. */
function text(...path) {
  const { value, of } = look(path);
  return value === null || value === undefined || value === "" ? NONE : h("span", { "data-of": of }, value);
}

/** A moment of an answer, by this machine's clock, and how long ago that is by the gateway's. */
function moment(...path) {
  const { value, of } = look(path);
  if (!value) return NONE;
  return [h("time", { datetime: value, title: value, "data-of": of }, clock(value)), h("small", null, ` ${ago(value)}`)];
}

function clock(value) {
  const time = new Date(value);
  if (Number.isNaN(time.getTime())) return value;
  const isToday = time.toDateString() === new Date().toDateString();
  const day = isToday ? "" : `${time.toLocaleDateString("sv-SE")} `;
  return day + time.toLocaleTimeString("sv-SE");
}

/** How long ago a moment is. The gateway's clock counts, not that of this machine. */
function ago(value) {
  const { started, uptime_seconds: uptime } = seen.status ?? {};
  const now = started ? Date.parse(started) + uptime * 1000 : Date.now();
  const seconds = Math.max(0, Math.round((now - Date.parse(value)) / 1000));
  return Number.isNaN(seconds) ? "" : `${duration(seconds)} ago`;
}

function duration(seconds) {
  if (seconds < 100) return `${seconds} s`;
  if (seconds < 6000) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

const bytes = (value) => (value >= 1048576 ? `${digits(value / 1048576)} MiB` : `${digits(value / 1024)} KiB`);

/** States, with the tone of each; its sign says it without the colour. */
const TONES = {
  running: "good", healthy: "good", "in-service": "good", accepted: "good",
  warming: "busy", draining: "busy",
  unhealthy: "bad", refused: "bad",
  stopped: "off", unchecked: "off",
};
const SIGNS = { good: "●", busy: "◐", bad: "▲", off: "○" };

function state(...path) {
  const { value, of } = look(path);
  const tone = Object.hasOwn(TONES, value) ? TONES[value] : "off";
  return h("span", { class: `state ${tone}` }, h("span", { "aria-hidden": "true" }, SIGNS[tone], " "),
    h("span", { "data-of": of }, value ?? NONE));
}

/** So many of a thing. */
const count = (number, word) => `${digits(number)} ${word}${number === 1 ? "" : "s"}`;
