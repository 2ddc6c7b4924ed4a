# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Translation: https://developers.deepl.com/docs/api-reference/translate."""

from __future__ import annotations

from aiohttp import web

from sandbox.providers import text
from sandbox.providers.calls import Clock

QUOTA_EXCEEDED = 456
"""DeepL's own status, https://developers.deepl.com/docs/best-practices/error-handling."""
FREE_QUOTA = 500_000
"""Characters a month of the free plan."""
MAX_TEXTS = 50


class DeepL:
    """The HTTP side."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.quota = FREE_QUOTA
        self.used = 0

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v2/translate", self._translate)
        app.router.add_route("*", "/v2/usage", self._usage)
        return app

    def _allowed(self, request: web.Request) -> bool:
        return request.headers.get("Authorization", "").startswith("DeepL-Auth-Key ")

    async def _translate(self, request: web.Request) -> web.Response:
        if not self._allowed(request):
            return web.json_response({"message": "Forbidden"}, status=403)
        if request.content_type == "application/json":
            body = await request.json()
            texts, target = body.get("text"), body.get("target_lang")
        else:
            form = await request.post()
            texts, target = [str(item) for item in form.getall("text", [])], form.get("target_lang")
        texts = [texts] if isinstance(texts, str) else texts
        if not texts or not target:
            return web.json_response({"message": "Parameter 'text' or 'target_lang' not specified"}, status=400)
        if len(texts) > MAX_TEXTS:
            return web.json_response({"message": f"Too many texts: at most {MAX_TEXTS}"}, status=400)
        size = sum(len(item) for item in texts)
        if self.used + size > self.quota:
            return web.json_response(
                {"message": "Quota for this billing period has been exceeded"}, status=QUOTA_EXCEEDED
            )
        self.used += size
        await self.clock.wait("deepl")
        translations = [
            {"detected_source_language": "DE", "text": text.translation(item, str(target)), "billed_characters": size}
            for item in texts
        ]
        return web.json_response({"translations": translations})

    async def _usage(self, request: web.Request) -> web.Response:
        if not self._allowed(request):
            return web.json_response({"message": "Forbidden"}, status=403)
        return web.json_response({"character_count": self.used, "character_limit": self.quota})
