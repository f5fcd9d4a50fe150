"""An HTTP/3 client on aioquic that says what it is told, right or wrong, and shows what comes back on each stream."""

import asyncio
import contextlib
import ssl

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StopSendingReceived, StreamReset

PATIENCE = 10


class Stream:
    """What came on a request's stream."""

    def __init__(self):
        self.heads = []
        self.data = b""
        self.ended = False
        self.reset = None
        self.stopped = None

    @property
    def status(self):
        return self.heads[-1][b":status"].decode() if self.heads else None


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.quic = self._quic
        self.http = H3Connection(self.quic)
        self.streams = {}
        self.closed = None
        self.changed = asyncio.Condition()

    def quic_event_received(self, event):
        if isinstance(event, StreamReset):
            self.of(event.stream_id).reset = event.error_code
        elif isinstance(event, StopSendingReceived):
            self.of(event.stream_id).stopped = event.error_code
        elif isinstance(event, ConnectionTerminated):
            self.closed = event.error_code
        for event in self.http.handle_event(event):
            stream = self.of(event.stream_id)
            if isinstance(event, HeadersReceived):
                stream.heads.append(dict(event.headers))
            elif isinstance(event, DataReceived):
                stream.data += event.data
            stream.ended |= event.stream_ended
        asyncio.ensure_future(self.wake())

    def of(self, stream_id):
        return self.streams.setdefault(stream_id, Stream())

    async def wake(self):
        async with self.changed:
            self.changed.notify_all()

    async def until(self, holds):
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(holds), PATIENCE)

    def begin(self, headers, end=True):
        """Sends a head; returns the stream's number."""
        stream_id = self.quic.get_next_available_stream_id()
        self.http.send_headers(stream_id, headers, end_stream=end)
        self.transmit()
        return stream_id

    def raw(self, stream_id, data, end=False):
        """Sends bytes on a stream, past the library."""
        self.quic.send_stream_data(stream_id, data, end_stream=end)
        self.transmit()

    async def outcome(self, stream_id):
        """How a request ended."""
        stream = self.of(stream_id)
        await self.until(lambda: stream.ended or stream.reset is not None or self.closed is not None)
        if self.closed is not None:
            return f"closed 0x{self.closed:x}"
        return f"reset 0x{stream.reset:x}" if stream.reset is not None else stream.status


def head(method=b"GET", path=b"/", *more):
    """The fields of a request."""
    return [(b":method", method), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", path), *more]


@contextlib.asynccontextmanager
async def connected(port, authority):
    settings = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name="localhost")
    settings.verify_mode = ssl.CERT_REQUIRED
    settings.load_verify_locations(authority)
    async with connect("127.0.0.1", int(port), configuration=settings, create_protocol=Client) as client:
        yield client
