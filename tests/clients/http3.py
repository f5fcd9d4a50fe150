"""A request of an HTTP/3 client: http3.py PORT CA METHOD PATH [BODY-LENGTH]. Writes status and body's length."""

import asyncio
import json
import sys

from h3client import connected, head


async def main(port, authority, method, path, length="0"):
    async with connected(port, authority) as client:
        stream_id = client.begin(head(method.encode(), path.encode()), end=length == "0")
        if length != "0":
            client.http.send_data(stream_id, bytes(int(length)), end_stream=True)
            client.transmit()
        status = await client.outcome(stream_id)
        print(json.dumps({"status": status, "length": len(client.of(stream_id).data)}))


asyncio.run(main(*sys.argv[1:]))
