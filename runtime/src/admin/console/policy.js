
// === Policies: the one in service, and those that were refused

/** The headline, which tells the state in a line, as the window's title does. */
function drawHeadline() {
  const { status } = seen;
  const isRefused = status.last_read?.result === "refused";
  const parts = [state("status", "state"), ` version `, text("status", "version"), ", policy ", text("status", "policy"),
    ", generation ", figure("status", "generation")];
  fill($("headline"), ...parts);
  document.title = `${isRefused ? "REFUSED - " : ""}Tidegate: ${status.state}`;
}

/** A policy that was refused, if it is the last that was read. */
function drawRefusal() {
  const last = seen.generations?.generations?.[0];
  const isRefused = last?.result === "refused" && seen.status?.last_read?.result === "refused";
  if (!isRefused) {
    fill($("refusal"));
    announce("");
    return;
  }
  const at = (...path) => ["generations", "generations", 0, ...path];
  const mistakes = last.diagnostics.map(mistakeOf).filter(Boolean);
  fill($("refusal"), h("section", { class: "refusal", "aria-labelledby": "refusal-title" },
    h("h2", { id: "refusal-title" }, "The last policy was refused"),
    h("p", null, "Read ", moment(...at("at")), ", because: ", text(...at("cause")), ". Generation ", figure("status", "generation"),
      " serves on, as before."),
    last.reason && h("p", null, h("strong", null, text(...at("reason")))),
    mistakes.length > 0 && h("ul", null, mistakes),
    last.shown && source(last.shown, "The mistakes in the source")));
  const first = last.diagnostics.find(isMistake)?.message ?? last.reason ?? "";
  announce(`The last policy was refused: ${first}`);
}

const isMistake = ({ severity }) => severity === "error";

/** A mistake in a line: what, which code, where. Warnings stand with the source. */
function mistakeOf(mistake, index) {
  if (!isMistake(mistake)) return null;
  const at = (...path) => ["generations", "generations", 0, "diagnostics", index, ...path];
  const place = mistake.path && h("small", { class: "mono" }, " ", text(...at("path")), ":", figureAs(String, ...at("line")), ":", figureAs(String, ...at("column")));
  return h("li", null, text(...at("message")), " ", h("span", { class: "label" }, text(...at("code"))), place);
}

/** Tells those who hear the page, once. */
function announce(text) {
  if ($("alert").textContent !== text) $("alert").textContent = text;
}

function drawGenerations() {
  const none = absent("generations");
  if (none) return fill(body("generations"), none);
  const entry = (read, index) => {
    const at = (...path) => ["generations", "generations", index, ...path];
    return h("tr", { role: "row", "data-key": `${read.at} ${read.cause}` },
      h("th", { scope: "row", role: "rowheader" }, figure(...at("generation"))),
      h("td", { role: "cell", "data-head": "Result" }, state(...at("result"))),
      h("td", { role: "cell", "data-head": "Read" }, moment(...at("at"))),
      h("td", { role: "cell", "data-head": "Why" }, text(...at("cause"))),
      h("td", { role: "cell", class: "number", "data-head": "Took, ms" }, figure(...at("ms"))),
      h("td", { role: "cell", "data-head": "What" }, what(read, index)));
  };
  const heads = ["Generation", "Result", "Read", "Why", "Took, ms", "What changed, or was wrong"];
  fill(body("generations"), h("div", { class: "scroll" }, h("table", { class: "cards", role: "table" },
    h("caption", null, h("span", { class: "unseen" }, "The last policies that were read, the newest first")),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads.map((head) => h("th", { scope: "col", role: "columnheader" }, head)))),
    h("tbody", { role: "rowgroup" }, seen.generations.generations.map(entry)))));
}

/** What became of a policy that was read, to be opened. */
function what(read, index) {
  if (read.shown.trim() === "") return read.reason ?? "nothing";
  const isRefused = read.result === "refused";
  const lines = read.shown.trimEnd().split("\n").length;
  if (!isRefused && lines === 1) return read.shown.trim();
  const name = isRefused ? count(read.diagnostics.filter(isMistake).length, "mistake") : count(lines, "line");
  const shown = isRefused ? source : diff;
  return h("details", null, h("summary", null, name), read.reason && h("p", null, read.reason),
    shown(read.shown, `Policy ${index + 1} of those that were read`));
}
