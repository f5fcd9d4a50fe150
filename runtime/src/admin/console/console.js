// The console: what it is made of. Whatever the API says becomes text, and nothing else; elements are made here alone.

const SVG_NAMES = new Set(["svg", "path"]);

/** An element. Attributes that are null or false are left out; children are texts, numbers, elements, or lists of them. */
function h(name, attributes, ...children) {
  const node = SVG_NAMES.has(name)
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...nodes(children));
  return node;
}

/** Children without what is absent; texts beside each other stay apart, so that each can change alone. */
function nodes(children) {
  return children.flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false && child !== "")
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

const $ = (id) => document.getElementById(id);

/** The place of a section's content. */
const body = (section) => document.querySelector(`#${section} .body`);

/** Makes the content of an element what is given, and keeps what is there already: focus, open details, a selection. */
function fill(parent, ...children) {
  const kept = new Map();
  for (const child of parent.children) {
    if (child.dataset.key !== undefined) kept.set(child.dataset.key, child);
  }
  let at = parent.firstChild;
  for (const fresh of nodes(children)) {
    const key = fresh.dataset?.key;
    const old = key === undefined ? (at?.dataset?.key === undefined ? at : null) : kept.get(key);
    if (!old) {
      parent.insertBefore(fresh, at);
      continue;
    }
    kept.delete(key);
    if (old === at) at = at.nextSibling;
    else parent.insertBefore(old, at);
    become(old, fresh);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/** Makes one node like another, or puts that one in its place. */
function become(old, fresh) {
  if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    // Whether details are open is the reader's choice.
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  fill(old, ...fresh.childNodes);
}

/**
 * A table. A column is `[head, cell, kind]`: `cell` makes the content of a row's cell; the first is the row's head. On a narrow
 * screen rows become cards, which must not take the table's meaning from those who hear it: so its roles are said.
 */
function table(caption, columns, rows, { key, cards = true, hideCaption = true } = {}) {
  const head = columns.map(([text, , kind]) => h("th", { scope: "col", role: "columnheader", class: kind }, text));
  const cells = (row, at) => columns.map(([text, cell, kind], column) => column === 0
    ? h("th", { scope: "row", role: "rowheader" }, cell(row, at))
    : h("td", { role: "cell", class: kind, "data-head": text }, cell(row, at)));
  return h("div", { class: "scroll" }, h("table", { class: cards && "cards", role: "table" },
    h("caption", null, h("span", { class: hideCaption && "unseen" }, caption)),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
    h("tbody", { role: "rowgroup" }, rows.map((row, at) =>
      h("tr", { role: "row", "data-key": key ? key(row, at) : null }, cells(row, at))))));
}

/** Text with its lines, which may be wider than the screen. */
function source(text, label) {
  return h("pre", { tabindex: "0", role: "region", "aria-label": label }, text);
}

/** A diff in the words of `plan`, whose signs say what colours say again. */
function diff(text, label) {
  const kind = (line) => (/^\s*\+/.test(line) ? "more" : /^\s*-/.test(line) ? "less" : null);
  const lines = text.trimEnd().split("\n").map((line) => h("span", { class: kind(line) }, `${line}\n`));
  return h("pre", { tabindex: "0", role: "region", "aria-label": label }, lines);
}

const quiet = (...text) => h("p", { class: "quiet" }, text);
