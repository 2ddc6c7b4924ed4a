# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which kind of call a request is; the counters and the faults go by these names."""

from __future__ import annotations

import json

from sandbox import providers


def kind_of(host: str, method: str, path: str, body: bytes = b"") -> str:
    """Return the kind of a call, `provider.what`. `body` decides only whether a chat completion is streamed."""
    if host == providers.TELEGRAM:
        return "telegram.file" if path.startswith("/file/") else "telegram." + path.rpartition("/")[2]
    if host == providers.OPENAI:
        return _openai(path, body)
    if host == providers.FAL_QUEUE:
        return _fal_queue(method, path)
    if host == providers.FAL_RUN:
        return "fal.run"
    if host == providers.FAL_MEDIA:
        return "fal.media"
    if host in providers.DEEPL:
        return "deepl." + path.rpartition("/")[2]
    return "unknown"


def _openai(path: str, body: bytes) -> str:
    if path.endswith("/chat/completions"):
        try:
            streamed = json.loads(body).get("stream")
        except (ValueError, AttributeError):
            streamed = False
        return "openai.chat_stream" if streamed else "openai.chat"
    return "openai." + path.rpartition("/")[2]


def _fal_queue(method: str, path: str) -> str:
    if "/requests/" not in path:
        return "fal.submit"
    if path.endswith("/status"):
        return "fal.status"
    if path.endswith("/cancel"):
        return "fal.cancel"
    return "fal.result" if method == "GET" else "fal.other"
