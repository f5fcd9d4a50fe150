"""WebSocket over HTTP/3 (RFC 9220): http3_websocket.py PORT CA BACKEND-PORT [silent]. Writes what was seen on both sides.

With `silent`, it says nothing until the gateway has had enough."""

import asyncio
import base64
import hashlib
import json
import sys

from h3client import PATIENCE, connected, head

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
LONG = 1_000_000


class Backend:
    """Agrees to WebSocket, and sends every byte back; `/page` and `/gone` are no WebSockets."""

    def __init__(self):
        self.heads, self.ended = [], asyncio.Queue()

    async def serve(self, reader, writer):
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            fields = dict(line.lower().split(": ", 1) if "key" not in line.lower() else line.split(": ", 1) for line in lines[1:-2])
            fields = {name.lower(): value for name, value in fields.items()}
            self.heads.append({"line": lines[0], **fields})
            if answer := {"/page": b"200 OK", "/gone": b"410 Gone"}.get(lines[0].split(" ")[1]):
                writer.write(b"HTTP/1.1 " + answer + b"\r\ncontent-length: 2\r\n\r\nno")
                return await writer.drain()
            key = fields["sec-websocket-key"].encode()
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
                b"sec-websocket-accept: " + accept.encode() + b"\r\nsec-websocket-protocol: chat\r\n\r\n"
            )
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            await self.ended.put("end")
        except ConnectionError:
            await self.ended.put("reset")
        finally:
            writer.close()


def ask(path, protocol):
    return [*head(b"CONNECT", path), (b":protocol", protocol), (b"sec-websocket-version", b"13")]


def proper(fields):
    """Pseudo-header fields come first."""
    return sorted(fields, key=lambda field: not field[0].startswith(b":"))


async def silent(port, authority, backend_port):
    backend = Backend()
    server = await asyncio.start_server(backend.serve, "127.0.0.1", int(backend_port))
    async with server, connected(port, authority) as client:
        stream_id = client.begin(proper(ask(b"/silent", b"websocket")), end=False)
        ended = await client.outcome(stream_id)
        print(json.dumps({"ended": ended, "backend": await asyncio.wait_for(backend.ended.get(), PATIENCE)}))


async def main(port, authority, backend_port):
    backend, report = Backend(), {}
    server = await asyncio.start_server(backend.serve, "127.0.0.1", int(backend_port))
    async with server, connected(port, authority) as client:
        await client.until(lambda: client.http.received_settings is not None)
        report["setting"] = client.http.received_settings.get(8)

        stream_id = client.begin(proper([*ask(b"/chat", b"websocket"), (b"cookie", b"c" * 3000)]), end=False)
        stream = client.of(stream_id)
        await client.until(lambda: stream.heads)
        report["status"] = stream.status
        report["fields"] = sorted(name.decode() for name in stream.heads[0])
        client.http.send_data(stream_id, b"hello", end_stream=False)
        client.transmit()
        await client.until(lambda: stream.data == b"hello")
        client.http.send_data(stream_id, bytes(LONG), end_stream=False)
        client.transmit()
        await client.until(lambda: len(stream.data) == LONG + 5)
        # Another request on the same connection goes its own way.
        report["beside"] = await client.outcome(client.begin(head(b"GET", b"/beside")))
        client.http.send_data(stream_id, b"", end_stream=True)
        client.transmit()
        report["backend"] = await asyncio.wait_for(backend.ended.get(), PATIENCE)
        report["ended"] = await client.outcome(stream_id)

        stream_id = client.begin(proper(ask(b"/left", b"websocket")), end=False)
        await client.until(lambda: client.of(stream_id).heads)
        client.quic.reset_stream(stream_id, 0x10C)
        client.quic.stop_stream(stream_id, 0x10C)
        client.transmit()
        await asyncio.wait_for(backend.ended.get(), PATIENCE)
        report["left"] = True

        for path in ["page", "gone"]:
            report[path] = await client.outcome(client.begin(proper(ask(f"/{path}".encode(), b"websocket")), end=False))
        report["other protocol"] = await client.outcome(client.begin(proper(ask(b"/other", b"connect-ip"))))
        report["after"] = await client.outcome(client.begin(head(b"GET", b"/beside")))
        report["head"] = backend.heads[0]
        print(json.dumps(report))


asyncio.run(silent(*sys.argv[1:4]) if "silent" in sys.argv else main(*sys.argv[1:]))
