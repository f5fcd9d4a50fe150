"""The extension `client-headers` in Python: see ../src/lib.rs."""

import json
import re

from componentize_py_types import Err
from wit_world.imports import conn, read_request, types, write_request_headers, write_response_headers

# What stands for what. A value is bytes, as those of headers are; None is none.
INSERTS = {
    "client-ip": lambda: conn.client_ip().encode(),
    "peer": lambda: conn.peer().encode(),
    "listener": lambda: conn.listener().encode(),
    "method": lambda: read_request.method().encode(),
    "scheme": lambda: read_request.scheme().encode(),
    "authority": lambda: read_request.authority().encode(),
    "path": lambda: read_request.path().encode(),
}


def insert(name):
    kind, _, header = name.partition(".")
    if name in INSERTS:
        return INSERTS[name]
    if kind == "header" and header:
        return lambda: read_request.get(header)
    if kind == "first" and header:
        return lambda: first(read_request.get(header))
    raise ValueError(
        f"unknown insert `{{{name}}}`: use {{client-ip}}, {{peer}}, {{listener}}, {{method}}, {{scheme}}, {{authority}}, "
        "{path}, {header.NAME} or {first.NAME}"
    )


def first(line):
    """The first entry of a list, without the blanks behind it."""
    return None if line is None else line.split(b",")[0].rstrip(b" \t")


def parse(template):
    """The parts of a template: functions that give bytes. `{{` and `}}` stand for one brace."""
    parts = []
    for match in re.finditer(r"[^{}]+|(\{\{|\}\})|\{([^{}]*)\}|([{}])", template):
        twice, name, single = match.groups()
        if single:
            raise ValueError(f'a single `{single}` in "{template}": write it twice if you mean the character')
        literal = (twice[0] if twice else match[0]).encode()
        parts.append(insert(name) if name is not None else lambda literal=literal: literal)
    return parts


headers = {"request": [], "response": []}


def apply(side, setter):
    for name, parts in headers[side]:
        values = [part() for part in parts]
        if None not in values:
            setter(name, b"".join(values))
    return types.Verdict_Next()


class Lifecycle:
    def init(self, config):
        given = json.loads(config)
        try:
            for word in given:
                if word not in headers:
                    raise ValueError(f"unknown field `{word}`, expected `request` or `response`")
            for side in headers:
                headers[side] = [(name, parse(template)) for name, template in given.get(side, {}).items()]
        except ValueError as error:
            raise Err(str(error))
        hooks = types.Hooks.REQUEST | types.Hooks.RESPONSE
        return types.Interest(hooks, [], [], types.BodyMode_None_(), types.BodyMode_None_(), 0)


class OnRequest:
    def run(self):
        return apply("request", write_request_headers.set)


class OnResponse:
    def run(self):
        return apply("response", write_response_headers.set)
