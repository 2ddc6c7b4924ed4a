# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The application's side of the tests: makes one call with one library, as an application would, and says what came.

Started with PYTHONPATH and HEADROOM_REDIRECT as the role sets them, and told what to do by one JSON argument:
{"client": NAME, "method": "GET", "url": URL, "body": TEXT or null, "times": N, "generated": BOOL,
"follow": BOOL, "stream": BOOL, "until": END,
"close_after": SECONDS}.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys

import headroom_redirect

PROVIDER_ADDRESS = os.environ["PROVIDER_ADDRESS"]
HEADERS = {"Authorization": "Bearer sk-test", "Content-Type": "application/json"}

_resolve = socket.getaddrinfo


def _resolve_provider(host, *args, **kwargs):
    name = host.decode() if isinstance(host, bytes) else host
    return _resolve(PROVIDER_ADDRESS if name and name.endswith(".test") else host, *args, **kwargs)


socket.getaddrinfo = _resolve_provider


def _pieces(body):
    yield from (body[:2].encode(), body[2:].encode())


async def _pieces_async(body):
    for piece in _pieces(body):
        yield piece


def busy(client):
    """Return how many connections of a client's pool are neither free nor closed."""
    return sum(not (one.is_idle() or one.is_closed()) for one in client._transport._pool.connections)


def with_httpx(module, order):
    with module.Client() as client:
        for _unused in range(order["times"]):
            body = _pieces(order["body"]) if order["generated"] else order["body"]
            if order["stream"]:
                with client.stream("POST", order["url"], content=body, headers=HEADERS) as response:
                    text = ""
                    for part in response.iter_text():
                        text += part
                        if text.endswith(order["until"]):
                            break
                    if text.endswith("[DONE]\n\n"):
                        text += b"".join(response.stream).decode()  # as the SDK of OpenAI does
                yield response.status_code, text, busy(client)
                continue
            response = client.request(
                order["method"], order["url"], content=body, headers=HEADERS, follow_redirects=order["follow"]
            )
            yield response.status_code, response.text, str(response.url), str(response.request.url)


async def close_after(seconds, response):
    await asyncio.sleep(seconds)
    await response.aclose()


async def with_httpx_async(module, order):
    found = []
    async with module.AsyncClient() as client:
        for _unused in range(order["times"]):
            body = _pieces_async(order["body"]) if order["generated"] else order["body"]
            if order["stream"]:
                async with client.stream("POST", order["url"], content=body, headers=HEADERS) as response:
                    closing = asyncio.ensure_future(close_after(order["close_after"], response))
                    text = ""
                    async for part in response.aiter_text():
                        text += part
                        if text.endswith(order["until"]):
                            break
                    if text.endswith("[DONE]\n\n"):
                        text += b"".join([part async for part in response.stream]).decode()
                closing.cancel()
                found.append((response.status_code, text, busy(client)))
                continue
            response = await client.request(
                order["method"], order["url"], content=body, headers=HEADERS, follow_redirects=order["follow"]
            )
            found.append((response.status_code, response.text, str(response.url), str(response.request.url)))
    return found


def with_requests(order):
    import requests

    with requests.Session() as session:
        # Retries of the application's own are about the provider, not about the gateway.
        session.mount("https://", requests.adapters.HTTPAdapter(max_retries=5))
        for _unused in range(order["times"]):
            body = _pieces(order["body"]) if order["generated"] else order["body"]
            response = session.request(
                order["method"], order["url"], data=body, headers=HEADERS, allow_redirects=order["follow"]
            )
            yield response.status_code, response.text, response.url, response.request.url


async def with_aiohttp(order):
    import aiohttp

    found = []
    async with aiohttp.ClientSession() as session:
        for _unused in range(order["times"]):
            body = _pieces_async(order["body"]) if order["generated"] else order["body"]
            async with session.request(
                order["method"], order["url"], data=body, headers=HEADERS, allow_redirects=order["follow"]
            ) as response:
                found.append((response.status, await response.text(), str(response.url), str(response.url)))
    return found


def call(order):
    client = order["client"]
    if client == "requests":
        return list(with_requests(order))
    if client == "aiohttp":
        return asyncio.run(with_aiohttp(order))
    module = __import__(client.partition(" ")[0])
    return asyncio.run(with_httpx_async(module, order)) if "async" in client else list(with_httpx(module, order))


def main():
    order = dict.fromkeys(("generated", "follow", "stream"), False)
    order.update({"method": "GET", "body": None, "times": 1, "until": "\0", "close_after": 60})
    order.update(json.loads(sys.argv[1]))
    libraries = ("httpx", "httpx2", "requests", "aiohttp")
    loaded = [name for name in libraries if name in sys.modules]
    try:
        answers, error = call(order), None
    except Exception as caught:
        answers, error = [], type(caught).__name__
    print(
        json.dumps({"answers": answers, "error": error, "loaded_by_shim": loaded, "shim": headroom_redirect.__name__})
    )


if __name__ == "__main__":
    main()
