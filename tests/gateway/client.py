# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an application sends, through the gateway or straight to the stand-ins."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import ssl
from types import MappingProxyType
from typing import Any

import aiohttp

OPENAI = MappingProxyType({"Authorization": "Bearer sk-secret-one"})
DEEPL = {"Authorization": "DeepL-Auth-Key secret-two"}
FAL = MappingProxyType({"Authorization": "Key secret-three"})


@dataclasses.dataclass
class Answer:
    """What came. `failed` names the exception when the connection broke off; then `body` is what came before."""

    status: int
    headers: Any
    body: bytes
    failed: str = ""

    @property
    def cache(self) -> str:
        return str(self.headers.get("X-Cache", ""))

    @property
    def fields(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The words of a chat answer, plain or streamed."""
        if not self.body.startswith(b"data:"):
            return str(self.fields["choices"][0]["message"]["content"])
        words = ""
        for line in self.body.decode().split("\n\n"):
            if line.startswith("data: {"):
                for choice in json.loads(line[6:])["choices"]:
                    words += choice["delta"].get("content") or ""
        return words


class Client:
    """Speaks to one gateway, or (with `direct`) to the providers' port under their real names."""

    def __init__(self, base: str, direct: Any = None) -> None:
        self._base = base
        self._direct = direct

    async def __aenter__(self) -> Client:
        connector = aiohttp.TCPConnector(limit=0, ssl=self._context(), resolver=self._resolver())
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=True)
        return self

    async def __aexit__(self, *_unused: object) -> None:
        await self._session.close()

    def _context(self) -> Any:
        if self._direct is None:
            return True
        return ssl.create_default_context(cafile=str(self._direct.folder / "cert.pem"))

    def _resolver(self) -> Any:
        if self._direct is None:
            return None
        port = self._direct.port

        class Loopback(aiohttp.abc.AbstractResolver):
            async def resolve(self, host: str, _port: int = 0, family: int = 0) -> Any:
                return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

            async def close(self) -> None:
                return None

        return Loopback()

    def url(self, host: str, path: str) -> str:
        if self._direct is None:
            return f"{self._base}/{host}{path}"
        return f"https://{host}:{self._direct.port}{path}"

    async def ask(self, method: str, host: str, path: str, headers: Any = None, **options: Any) -> Answer:
        timeout = aiohttp.ClientTimeout(total=options.pop("timeout", 30))
        parts: list[bytes] = []
        try:
            async with self._session.request(
                method, self.url(host, path), headers=headers, timeout=timeout, **options
            ) as found:
                with contextlib.suppress(aiohttp.ClientPayloadError, aiohttp.ClientConnectionError):
                    async for chunk in found.content.iter_any():
                        parts.append(chunk)
                    return Answer(found.status, found.headers, b"".join(parts))
                return Answer(found.status, found.headers, b"".join(parts), "cut off")
        except (TimeoutError, aiohttp.ClientError) as error:
            return Answer(0, {}, b"", type(error).__name__)

    async def chat(self, text: str, headers: Any = OPENAI, more: Any = None, **fields: Any) -> Answer:
        body = {"model": "m", "temperature": 0, "messages": [{"role": "user", "content": text}], **fields}
        return await self.ask("POST", "api.openai.com", "/v1/chat/completions", {**headers, **(more or {})}, json=body)

    async def embed(self, texts: Any, **fields: Any) -> Answer:
        body = {"model": "e", "input": texts, "dimensions": 8, **fields}
        return await self.ask("POST", "api.openai.com", "/v1/embeddings", OPENAI, json=body)

    async def translate(self, *texts: str) -> Answer:
        body = {"text": list(texts), "target_lang": "EN"}
        return await self.ask("POST", "api-free.deepl.com", "/v2/translate", DEEPL, json=body)

    async def submit(self, prompt: str, headers: Any = FAL, **fields: Any) -> Answer:
        body = {"prompt": prompt, **fields}
        return await self.ask("POST", "queue.fal.run", "/fal-ai/flux/schnell", headers, json=body)

    async def follow(self, url: str, headers: Any = FAL, method: str = "GET") -> Answer:
        """Go to an address that an answer named."""
        _scheme, _unused, host, path = url.split("/", 3)
        return await self.ask(method, host, "/" + path, headers)

    async def picture(self, prompt: str, headers: Any = FAL, **fields: Any) -> tuple[Answer, list[Answer], Answer]:
        """Submit, ask until it is done, fetch the result: as fal_client does."""
        submitted = await self.submit(prompt, headers, **fields)
        polls = []
        for _unused in range(200):
            polls.append(await self.follow(submitted.fields["status_url"], headers))
            if polls[-1].fields["status"] == "COMPLETED":
                break
            await asyncio.sleep(0.1)
        return submitted, polls, await self.follow(submitted.fields["response_url"], headers)
