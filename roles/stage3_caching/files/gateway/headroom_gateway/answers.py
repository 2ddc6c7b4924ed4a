# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an answer may be kept: only what is complete, and what the provider did not hold back.

Each function returns the reason against it, "" when there is none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from headroom_gateway.http_message import Head

_HELD_BACK = frozenset(("content_filter", "safety", "recitation", "blocklist", "prohibited_content", "spii", "refusal",
                        "error", "malformed_function_call", "other", "language", "image_safety"))  # fmt: skip
"""Reasons for an end that say: this is not the answer. OpenAI: content_filter
(https://platform.openai.com/docs/api-reference/chat/object); Anthropic: refusal
(https://docs.anthropic.com/en/api/handling-stop-reasons); Gemini: the others
(https://ai.google.dev/api/generate-content#FinishReason)."""

_NETWORKS_COOKIES = frozenset((b"__cf_bm", b"_cfuvid", b"__cflb", b"__cfruid"))
"""Cookies of Cloudflare's in front of a provider: they tell connections and robots apart, no accounts, and come with
most answers (https://developers.cloudflare.com/fundamentals/reference/policies-compliances/cloudflare-cookies/)."""


def why_not(answer: str, head: Head, body: bytes) -> str:
    """Judge a whole answer that arrived to its end. `answer` is the route's word for what it must look like."""
    try:
        return _why_not(answer, head, body)
    except (AttributeError, TypeError, KeyError):
        return "of another shape"


def _why_not(answer: str, head: Head, body: bytes) -> str:
    if head.status != 200:
        return f"status {head.status}"
    if head.header(b"content-encoding") not in (b"", b"identity"):
        return "encoded"
    cookies = {value.partition(b"=")[0].strip() for name, value in head.headers if name == b"set-cookie"}
    if cookies - _NETWORKS_COOKIES:
        return "sets a cookie"
    kind = head.header(b"content-type").partition(b";")[0].strip().lower()
    if answer == "image":
        return _image(head, kind, body)
    if kind == b"text/event-stream":
        return _STREAMS[answer](body) if answer in _STREAMS else "a stream"
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return "not JSON"
    if not isinstance(fields, dict):
        return "no object"
    if fields.get("error"):
        return "holds an error"
    return _WHOLE.get(answer, _json)(fields)


def _image(head: Head, kind: bytes, body: bytes) -> str:
    if not kind.startswith(b"image/") and kind != b"application/octet-stream":
        return "no image"
    control = head.header(b"cache-control").lower()
    if b"no-store" in control or b"private" in control:
        return "must not be stored"
    return "" if body else "empty"


def _json(fields: dict[str, Any]) -> str:
    return "" if fields else "empty"


def _end(reason: Any) -> str:
    if not isinstance(reason, str) or not reason:
        return "has no end"
    return f"ended by {reason.lower()}" if reason.lower() in _HELD_BACK else ""


def _chat(fields: dict[str, Any]) -> str:
    choices = fields.get("choices")
    if not isinstance(choices, list) or not choices:
        return "no choices"
    for choice in choices:
        if problem := _end(choice.get("finish_reason")):
            return problem
        message = choice.get("message") or {}
        if message.get("refusal"):
            return "refused"
        if not message.get("content") and not message.get("tool_calls") and not message.get("function_call"):
            return "empty"
    return ""


def _messages(fields: dict[str, Any]) -> str:
    if not fields.get("content"):
        return "empty"
    # A turn that is only paused waits for more (https://docs.anthropic.com/en/api/handling-stop-reasons).
    return "paused" if fields.get("stop_reason") == "pause_turn" else _end(fields.get("stop_reason"))


def _gemini(fields: dict[str, Any]) -> str:
    candidates = fields.get("candidates")
    if not isinstance(candidates, list) or not candidates:
        return "no candidates"
    for candidate in candidates:
        if problem := _end(candidate.get("finishReason")):
            return problem
        if not (candidate.get("content") or {}).get("parts"):
            return "empty"
    return ""


def _fal_result(fields: dict[str, Any]) -> str:
    if "detail" in fields or len(fields) == 0:
        return "holds an error"
    if "images" in fields and not fields["images"]:
        return "no images"
    flags = fields.get("has_nsfw_concepts")
    # Such a picture comes blackened (https://fal.ai/models/fal-ai/flux/schnell/api, enable_safety_checker).
    return "held back" if isinstance(flags, list) and any(flags) else ""


def _fal_submit(fields: dict[str, Any]) -> str:
    return "" if isinstance(fields.get("request_id"), str) else "no request_id"


def events(body: bytes) -> Iterator[tuple[str, str]]:
    """Yield (event, data) of a stream, https://html.spec.whatwg.org/multipage/server-sent-events.html.

    What follows the last empty line is no event.
    """
    name = ""
    data: list[str] = []
    lines = body.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for line in lines[:-1]:
        if not line:
            if data:
                yield name, "\n".join(data)
            name, data = "", []
            continue
        field, _unused, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value


def _chat_stream(body: bytes) -> str:
    ends: dict[int, Any] = {}
    content = False
    last = ""
    for _unused, last in events(body):
        if last == "[DONE]":
            continue
        chunk = _event_fields(last)
        if chunk is None or chunk.get("error"):
            return "holds an error"
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            content = content or bool(delta.get("content") or delta.get("tool_calls"))
            if delta.get("refusal"):
                return "refused"
            index = choice.get("index", 0)
            ends[index] = choice.get("finish_reason") or ends.get(index)
    if last != "[DONE]":
        return "has no end"
    if not content:
        return "empty"
    return next(filter(None, map(_end, ends.values())), "")


def _messages_stream(body: bytes) -> str:
    reason: Any = None
    content = False
    name = ""
    for name, data in events(body):
        fields = _event_fields(data)
        if name == "error" or fields is None:
            return "holds an error"
        content = content or name == "content_block_delta"
        if name == "message_delta":
            reason = (fields.get("delta") or {}).get("stop_reason") or reason
    if name != "message_stop":
        return "has no end"
    if not content:
        return "empty"
    return "paused" if reason == "pause_turn" else _end(reason)


def _event_fields(data: str) -> dict[str, Any] | None:
    try:
        fields = json.loads(data)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


_WHOLE: dict[str, Callable[[dict[str, Any]], str]] = {
    "chat": _chat,
    "messages": _messages,
    "gemini": _gemini,
    "fal_result": _fal_result,
    "fal_submit": _fal_submit,
}
_STREAMS: dict[str, Callable[[bytes], str]] = {"chat": _chat_stream, "messages": _messages_stream}
