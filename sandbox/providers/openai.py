# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Chat completions (whole and streamed) and embeddings: https://platform.openai.com/docs/api-reference."""

from __future__ import annotations

import array
import asyncio
import base64
import itertools
import json
import secrets
import time
from typing import Any

from aiohttp import web

from sandbox.providers import text
from sandbox.providers.calls import TOKENS_PER_SECOND, Clock, cut_short

TOKENS_PER_CHUNK = 4
DIMENSIONS = 256


def problem(status: int, message: str, kind: str, retry_after: float | None = None) -> web.Response:
    """Return an error as this API writes it."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    body = {"error": {"message": message, "type": kind, "param": None, "code": None}}
    return web.json_response(body, status=status, headers=headers)


class OpenAI:
    """The HTTP side."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._numbers = itertools.count(1)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=8 * 2**20)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.router.add_get("/v1/models", self._models)
        app.on_response_prepare.append(self._cookies)
        return app

    async def _cookies(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Set what Cloudflare in front of api.openai.com does, with each answer."""
        for name in ("__cf_bm", "_cfuvid"):
            response.headers.add("Set-Cookie", f"{name}={secrets.token_urlsafe(32)}; path=/; HttpOnly; Secure")

    async def _json(self, request: web.Request) -> dict[str, Any] | web.Response:
        if not request.headers.get("Authorization", "").startswith("Bearer sk-"):
            return problem(401, "Incorrect API key provided.", "invalid_request_error")
        try:
            body = await request.json()
        except ValueError:
            return problem(400, "We could not parse the JSON body of your request.", "invalid_request_error")
        return body if isinstance(body, dict) else problem(400, "The body must be an object.", "invalid_request_error")

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await self._json(request)
        if isinstance(body, web.Response):
            return body
        if not body.get("messages") or not body.get("model"):
            return problem(400, "you must provide a model and messages", "invalid_request_error")
        pieces = text.tokens(text.completion(body))
        limit = body.get("max_completion_tokens") or body.get("max_tokens") or len(pieces)
        finish = "length" if limit < len(pieces) else "stop"
        pieces = pieces[:limit]
        asked = sum(len(str(message.get("content", ""))) for message in body["messages"]) // 4 + 3
        usage = {"prompt_tokens": asked, "completion_tokens": len(pieces), "total_tokens": asked + len(pieces)}
        head = {"id": f"chatcmpl-{next(self._numbers):08d}", "created": int(time.time()), "model": body["model"]}
        await self.clock.wait("openai.first_token")
        if body.get("stream"):
            with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
            return await self._stream(request, head, pieces, finish, usage if with_usage else None)
        await asyncio.sleep(len(pieces) / TOKENS_PER_SECOND * self.clock.scale)
        message = {"role": "assistant", "content": "".join(pieces), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return web.json_response({**head, "object": "chat.completion", "choices": [choice], "usage": usage})

    async def _stream(
        self,
        request: web.Request,
        head: dict[str, Any],
        pieces: list[str],
        finish: str,
        usage: dict[str, int] | None,
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)

        async def send(delta: dict[str, Any], reason: str | None = None) -> None:
            choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]
            chunk = {**head, "object": "chat.completion.chunk", "choices": choices}
            await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")

        await send({"role": "assistant", "content": ""})
        for number, at in enumerate(range(0, len(pieces), TOKENS_PER_CHUNK)):
            if cut_short.get() and number == 2:
                assert request.transport is not None
                request.transport.abort()
                return response
            await send({"content": "".join(pieces[at : at + TOKENS_PER_CHUNK])})
            await asyncio.sleep(TOKENS_PER_CHUNK / TOKENS_PER_SECOND * self.clock.scale)
        await send({}, finish)
        if usage is not None:
            chunk = {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage}
            await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        body = await self._json(request)
        if isinstance(body, web.Response):
            return body
        inputs, model = body.get("input"), str(body.get("model", ""))
        inputs = [inputs] if isinstance(inputs, str) else inputs
        if not inputs or not isinstance(inputs, list):
            return problem(400, "'input' must be a text or a list of texts", "invalid_request_error")
        await self.clock.wait("openai.embeddings")
        size = int(body.get("dimensions") or DIMENSIONS)
        vectors: list[Any] = [text.embedding(str(item), model, size) for item in inputs]
        if body.get("encoding_format") == "base64":
            vectors = [base64.b64encode(array.array("f", vector).tobytes()).decode() for vector in vectors]
        data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
        used = sum(len(str(item)) for item in inputs) // 4 + 1
        usage = {"prompt_tokens": used, "total_tokens": used}
        return web.json_response({"object": "list", "data": data, "model": model, "usage": usage})

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "gpt-4o-mini", "object": "model"}]})
