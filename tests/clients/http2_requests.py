"""A hundred requests at once over HTTP/2, by httpx and h2: PORT AUTHORITY."""

import asyncio
import ssl
import sys

import httpx


async def main(port, authority):
    trust = ssl.create_default_context(cafile=authority)
    headers = {"host": "shop.test"}
    async with httpx.AsyncClient(http1=False, http2=True, verify=trust, timeout=20) as client:

        async def request(number):
            body = bytes([number]) * (1000 * number)
            answer = await client.post(
                f"https://127.0.0.1:{port}/{number}", content=body, headers=headers, extensions={"sni_hostname": "shop.test"}
            )
            assert answer.http_version == "HTTP/2", answer.http_version
            assert answer.json()["length"] == len(body), answer.text
            return answer

        answers = await asyncio.gather(*(request(number) for number in range(100)))
        print(len(answers), "over HTTP/2")


asyncio.run(main(*sys.argv[1:]))
