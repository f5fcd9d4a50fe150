"""An HTTP/3 client on aioquic: http3.py PORT CA METHOD PATH [BODY-LENGTH]. Writes status, fields and body's length."""

import asyncio
import json
import ssl
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.answer = {"headers": [], "length": 0}
        self.done = self._loop.create_future()

    def quic_event_received(self, event):
        for event in self.http.handle_event(event):
            if isinstance(event, HeadersReceived):
                fields = [[name.decode(), value.decode()] for name, value in event.headers]
                self.answer["headers"].append(fields)
            elif isinstance(event, DataReceived):
                self.answer["length"] += len(event.data)
            if event.stream_ended and not self.done.done():
                self.done.set_result(self.answer)

    async def request(self, method, path, body):
        stream = self._quic.get_next_available_stream_id()
        headers = [(b":method", method), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", path)]
        self.http.send_headers(stream, headers, end_stream=not body)
        if body:
            self.http.send_data(stream, bytes(body), end_stream=True)
        self.transmit()
        return await asyncio.wait_for(self.done, 20)


async def main(port, authority, method, path, length="0"):
    settings = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name="localhost")
    settings.verify_mode = ssl.CERT_REQUIRED
    settings.load_verify_locations(authority)
    async with connect("127.0.0.1", int(port), configuration=settings, create_protocol=Client) as client:
        print(json.dumps(await client.request(method.encode(), path.encode(), int(length))))


asyncio.run(main(*sys.argv[1:]))
