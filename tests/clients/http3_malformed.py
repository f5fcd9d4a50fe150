"""Says what no HTTP/3 client may say: http3_malformed.py PORT CA. Writes how each request ended, by its name."""

import asyncio
import contextlib
import json
import sys

from aioquic.buffer import encode_uint_var
from h3client import connected, head

GOOD = head()
METHOD, SCHEME, AUTHORITY, PATH = GOOD

# Each on a stream of one connection. RFC 9114, 4.1.2, 4.2 and 4.3.
HEADS = {
    "good": GOOD,
    "host instead of authority": [METHOD, SCHEME, PATH, (b"host", b"localhost")],
    "two methods": [METHOD, METHOD, SCHEME, AUTHORITY, PATH],
    "two paths": [METHOD, SCHEME, AUTHORITY, PATH, (b":path", b"/admin")],
    "two authorities": [*GOOD, AUTHORITY],
    "two schemes": [*GOOD, SCHEME],
    "no method": [SCHEME, AUTHORITY, PATH],
    "no scheme": [METHOD, AUTHORITY, PATH],
    "no path": [METHOD, SCHEME, AUTHORITY],
    "no authority": [METHOD, SCHEME, PATH],
    "empty path": [METHOD, SCHEME, AUTHORITY, (b":path", b"")],
    "pseudo-header behind a field": [METHOD, SCHEME, AUTHORITY, (b"x-a", b"1"), PATH],
    "status": [*GOOD, (b":status", b"200")],
    "unknown pseudo-header": [*GOOD, (b":unknown", b"1")],
    "protocol without connect": [*GOOD, (b":protocol", b"websocket")],
    "upper case": [*GOOD, (b"X-Upper", b"1")],
    "line feed": [*GOOD, (b"x-a", b"1\nx-b: 2")],
    "carriage return": [*GOOD, (b"x-a", b"1\r\n\r\nGET /admin HTTP/1.1")],
    "zero byte": [*GOOD, (b"x-a", b"1\x002")],
    "space in a name": [*GOOD, (b"x a", b"1")],
    "colon in a name": [*GOOD, (b"x-a: 1\r\nx-b", b"1")],
    "connection": [*GOOD, (b"connection", b"close")],
    "transfer-encoding": [*GOOD, (b"transfer-encoding", b"chunked")],
    "upgrade": [*GOOD, (b"upgrade", b"websocket")],
    "te": [*GOOD, (b"te", b"gzip")],
    "two lengths": [*GOOD, (b"content-length", b"0"), (b"content-length", b"5")],
    "no number as length": [*GOOD, (b"content-length", b"+0")],
    "line feed in the path": [METHOD, SCHEME, AUTHORITY, (b":path", b"/ HTTP/1.1\r\nx: 1")],
    "space in the method": [(b":method", b"GET /admin"), SCHEME, AUTHORITY, PATH],
    "two hosts": [METHOD, SCHEME, AUTHORITY, PATH, (b"host", b"elsewhere")],
    "user in the authority": [METHOD, SCHEME, (b":authority", b"admin@localhost"), PATH],
}


def frame(kind, payload):
    return encode_uint_var(kind) + encode_uint_var(len(payload)) + payload


async def heads(client, report):
    for name, fields in HEADS.items():
        report[name] = await client.outcome(client.begin(fields))


async def bodies(client, report):
    """Heads that are right, and what follows them is not."""
    post = head(b"POST")

    async def ended(name, stream_id):
        report[name] = await client.outcome(stream_id)

    stream_id = client.begin([*post, (b"content-length", b"3")], end=False)
    client.raw(stream_id, frame(0, b"12345"), end=True)
    await ended("more than announced", stream_id)
    stream_id = client.begin([*post, (b"content-length", b"9")], end=False)
    client.raw(stream_id, frame(0, b"12345"), end=True)
    await ended("less than announced", stream_id)
    stream_id = client.begin([*post, (b"content-length", b"5")])
    await ended("nothing of what was announced", stream_id)
    stream_id = client.begin(post, end=False)
    client.raw(stream_id, frame(0, b"1") + frame(0, b"") + frame(0, b"2") + frame(0x21, b"ignored"), end=True)
    await ended("empty and unknown frames", stream_id)
    report["their length"] = client.of(stream_id).data.decode()
    stream_id = client.begin(post, end=False)
    client.raw(stream_id, frame(0, b"1"))
    client.http.send_headers(stream_id, [(b":path", b"/admin")], end_stream=True)
    client.transmit()
    await ended("pseudo-header in trailers", stream_id)


async def one_each(port, authority, report):
    """What ends a connection."""

    async def ended(name, act):
        async with connected(port, authority) as client:
            act(client)
            with contextlib.suppress(TimeoutError):
                await client.until(lambda: client.closed is not None)
            report[name] = "goes on" if client.closed is None else f"closed 0x{client.closed:x}"

    def two_heads_of_data(client):
        client.raw(client.quic.get_next_available_stream_id(), frame(0, b"1"), end=True)

    def settings_on_a_request(client):
        client.raw(client.quic.get_next_available_stream_id(), frame(4, b""), end=True)

    def second_settings(client):
        client.raw(client.http._local_control_stream_id, frame(4, b""))

    def data_on_control(client):
        client.raw(client.http._local_control_stream_id, frame(0, b"1"))

    def closed_control(client):
        client.raw(client.http._local_control_stream_id, b"", end=True)

    def second_control(client):
        client.raw(client.quic.get_next_available_stream_id(is_unidirectional=True), b"\x00")

    def a_push(client):
        client.raw(client.quic.get_next_available_stream_id(is_unidirectional=True), b"\x01\x00")

    def dynamic_table(client):
        client.raw(client.quic.get_next_available_stream_id(), frame(1, b"\x02\x00\x80"), end=True)

    def endless_number(client):
        client.raw(client.quic.get_next_available_stream_id(), frame(1, b"\x00\x00" + b"\xff" * 40), end=True)

    await asyncio.gather(
        ended("data before the head", two_heads_of_data),
        ended("settings on a request", settings_on_a_request),
        ended("second settings", second_settings),
        ended("data on the control stream", data_on_control),
        ended("end of the control stream", closed_control),
        ended("second control stream", second_control),
        ended("push stream", a_push),
        ended("entry of a table that nobody keeps", dynamic_table),
        ended("number without an end", endless_number),
    )


async def harmless(port, authority, report):
    """What has to be ignored, in numbers."""
    async with connected(port, authority) as client:
        control = client.http._local_control_stream_id
        for number in range(1000):
            # PRIORITY_UPDATE (RFC 9218, 7.2), a reserved frame (RFC 9114, 7.2.8).
            client.raw(control, frame(0xF0700, encode_uint_var(4 * number) + b"u=1") + frame(0x21 + 31 * number, b"x"))
            # Streams of types that nobody knows, which have to be given back for more.
            if number < 200:
                stream_id = client.quic.get_next_available_stream_id(is_unidirectional=True)
                client.raw(stream_id, encode_uint_var(0x21 + 31 * number) + bytes(100), end=True)
        report["after what is ignored"] = await client.outcome(client.begin(GOOD))


async def main(port, authority):
    report = {}
    async with connected(port, authority) as client:
        await heads(client, report)
        await bodies(client, report)
        report["after all of them"] = await client.outcome(client.begin(GOOD))
    await one_each(port, authority, report)
    await harmless(port, authority, report)
    print(json.dumps(report))


asyncio.run(main(*sys.argv[1:]))
