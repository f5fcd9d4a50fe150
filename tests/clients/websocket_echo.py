"""Texts, bytes and fragments of all sizes over wss, and a close with a reason: PORT AUTHORITY."""

import asyncio
import ssl
import sys

import websockets


async def main(port, authority):
    trust = ssl.create_default_context(cafile=authority)
    where = {"ssl": trust, "server_hostname": "shop.test", "host": "127.0.0.1", "port": int(port)}
    async with websockets.connect("wss://shop.test/chat", max_size=None, compression=None, **where) as socket:
        for size in (0, 1, 125, 126, 65535, 65536, 1 << 20):
            for message in ("x" * size, b"y" * size):
                await socket.send(message)
                assert await socket.recv() == message
        await socket.send(["frag", "men", "ted"])
        assert await socket.recv() == "fragmented"
        await asyncio.wait_for(await socket.ping(b"there?"), 20)
        await socket.close(4000, "done")
        assert (socket.close_code, socket.close_reason) == (4000, "done")
    print("all came back")


asyncio.run(main(*sys.argv[1:]))
