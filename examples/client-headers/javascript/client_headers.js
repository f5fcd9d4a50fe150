// The extension `client-headers` in JavaScript: see ../src/lib.rs.

import * as request from 'tidegate:extension/read-request@0.1.0';
import * as conn from 'tidegate:extension/conn@0.1.0';
import { set as setRequest } from 'tidegate:extension/write-request-headers@0.1.0';
import { set as setResponse } from 'tidegate:extension/write-response-headers@0.1.0';

// UTF-8. QuickJS has no `TextEncoder`.
const text = (value) => Uint8Array.from(unescape(encodeURIComponent(value)), (letter) => letter.charCodeAt(0));

// What stands for what. A value is bytes, as those of headers are; undefined is none.
const INSERTS = {
  'client-ip': () => text(conn.clientIp()),
  peer: () => text(conn.peer()),
  listener: () => text(conn.listener()),
  method: () => text(request.method()),
  scheme: () => text(request.scheme()),
  authority: () => text(request.authority()),
  path: () => text(request.path()),
};

function insert(name) {
  if (Object.hasOwn(INSERTS, name)) return INSERTS[name];
  const [kind, header] = [name.slice(0, name.indexOf('.')), name.slice(name.indexOf('.') + 1)];
  if (kind === 'header' && header) return () => request.get(header) ?? undefined;
  if (kind === 'first' && header) return () => first(request.get(header) ?? undefined);
  throw new Error(
    `unknown insert \`{${name}}\`: use {client-ip}, {peer}, {listener}, {method}, {scheme}, {authority}, {path}, ` +
      '{header.NAME} or {first.NAME}',
  );
}

// The first entry of a list, without the blanks behind it.
function first(list) {
  if (!list) return undefined;
  const comma = list.indexOf(0x2c);
  let end = comma < 0 ? list.length : comma;
  while (end > 0 && (list[end - 1] === 0x20 || list[end - 1] === 0x09)) end -= 1;
  return list.subarray(0, end);
}

// The parts of a template: functions that give bytes. `{{` and `}}` stand for one brace.
function parse(template) {
  const parts = [];
  for (const [piece, twice, name, single] of template.matchAll(/[^{}]+|(\{\{|\}\})|\{([^{}]*)\}|([{}])/g)) {
    if (single) throw new Error(`a single \`${single}\` in "${template}": write it twice if you mean the character`);
    const literal = text(twice ? twice[0] : piece);
    parts.push(name === undefined ? () => literal : insert(name));
  }
  return parts;
}

// The bytes of all parts; undefined if one has no value.
function render(parts) {
  const values = parts.map((part) => part());
  if (values.includes(undefined)) return undefined;
  const out = new Uint8Array(values.reduce((length, value) => length + value.length, 0));
  values.reduce((at, value) => (out.set(value, at), at + value.length), 0);
  return out;
}

let headers = { request: [], response: [] };

function apply(side, set) {
  for (const [name, parts] of headers[side]) {
    const value = render(parts);
    if (value !== undefined) set(name, value);
  }
  return { tag: 'next' };
}

export const lifecycle = {
  init(config) {
    const given = JSON.parse(config);
    const unknown = Object.keys(given).find((word) => !(word in headers));
    try {
      if (unknown !== undefined) throw new Error(`unknown field \`${unknown}\`, expected \`request\` or \`response\``);
      for (const side of Object.keys(headers)) {
        headers[side] = Object.entries(given[side] ?? {}).map(([name, template]) => [name, parse(template)]);
      }
    } catch (error) {
      throw error.message; // a string is the error that the author of the policy reads
    }
    return {
      hooks: { request: true, response: true },
      methods: [],
      pathPrefixes: [],
      requestBody: { tag: 'none' },
      responseBody: { tag: 'none' },
      tickMs: 0,
    };
  },
};
export const onRequest = { run: () => apply('request', setRequest) };
export const onResponse = { run: () => apply('response', setResponse) };
