
// === Charts: the last minutes, as lines and as tables

const SAMPLES = 120;
const ROWS = 12;
const history = [];

/** Keeps what this round brought. */
function sample() {
  const { live, status } = seen;
  if (!status) return;
  history.push({
    at: new Date(),
    connections: live?.connections ?? status.connections,
    requests: live?.requests_per_second,
    failures: live?.failures_per_second,
    p50: live?.latency_ms?.p50,
    p90: live?.latency_ms?.p90,
    p99: live?.latency_ms?.p99,
  });
  if (history.length > SAMPLES) history.shift();
}

/** A chart. A series is `[key, name, number]`, where `number` is its value now, as the answer has it. */
function chart(title, series, kind) {
  const values = series.flatMap(([key]) => history.map((sample) => sample[key])).filter(Number.isFinite);
  const top = Math.max(1, ...values);
  const now = series.map(([key, name]) => `${name} ${spoken(history.at(-1)?.[key])}`).join(", ");
  const lines = series.map(([key], at) => h("path", { class: `s${at}`, d: line(key, top) }));
  return h("figure", { "data-key": title },
    h("figcaption", null, h("span", null, title), series.length === 1
      ? h("strong", null, series[0][2])
      : h("span", { class: "legend" }, series.map(legend))),
    h("svg", { viewBox: `0 0 ${SAMPLES - 1} 40`, preserveAspectRatio: "none", role: "img", class: kind,
      "aria-label": `${title}: now ${now}; the highest shown is ${spoken(Math.max(0, ...values))}` }, lines),
    h("span", { class: "quiet" }, `highest ${digits(Math.max(0, ...values))}, last ${span()}`),
    h("details", null, h("summary", null, `${title}, as a table`), chartTable(title, series)));
}

function legend([, name, number], at) {
  const key = h("svg", { class: "key", viewBox: "0 0 30 6", "aria-hidden": "true" }, h("path", { class: `s${at}`, d: "M0 3H30" }));
  return h("span", null, key, `${name} `, h("strong", null, number));
}

/** The line of a series; it has gaps where there was no value. */
function line(key, top) {
  let pen = "M";
  const first = SAMPLES - history.length;
  return history.map((sample, at) => {
    const value = sample[key];
    if (!Number.isFinite(value)) {
      pen = "M";
      return "";
    }
    const point = `${pen}${first + at} ${(38 - (36 * value) / top).toFixed(2)}`;
    pen = "L";
    return point;
  }).join("");
}

function chartTable(title, series) {
  const columns = [["Time", (sample) => sample.at.toLocaleTimeString("sv-SE")],
    ...series.map(([key, name]) => [name, (sample) => spoken(sample[key]), "number"])];
  return table(`${title}: the last ${ROWS} values`, columns, history.slice(-ROWS).reverse(), { cards: false });
}

const spoken = (value) => (Number.isFinite(value) ? digits(value) : NONE);
const span = () => duration(history.length < 2 ? 0 : Math.round((history.at(-1).at - history[0].at) / 1000));

function drawLive() {
  const connections = [["connections", "connections", seen.live ? figure("live", "connections") : figure("status", "connections")]];
  const charts = [chart("Connections", connections)];
  if (seen.live) {
    const latency = ["p50", "p90", "p99"].map((key) => [key, key, figure("live", "latency_ms", key)]);
    charts.push(
      chart("Requests per second", [["requests", "requests", figure("live", "requests_per_second")]]),
      chart("Failures per second", [["failures", "failures", figure("live", "failures_per_second")]], "fails"),
      chart("Latency in ms", latency));
  }
  const classes = Object.keys(seen.live?.status ?? {});
  const answers = classes.map((name) => h("div", null, h("dt", null, name), h("dd", null, figure("live", "status", name), h("small", null, " /s"))));
  fill(body("live"), h("div", { class: "charts" }, charts),
    seen.live ? [h("h3", null, "Answers by status"), h("dl", { class: "facts" }, answers)]
      : h("div", null, h("h3", null, "Rates and latencies"), absent("live")));
}
