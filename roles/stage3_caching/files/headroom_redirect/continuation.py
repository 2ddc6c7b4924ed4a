# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rest of a streamed chat answer whose gateway was lost in its middle: from the provider, asked once more.

Only for what the gateway keeps, where equal questions are to have equal answers, and only where the provider's second
answer begins with the very text that the application has already. Chunks as OpenAI and all who copied its API write
them: https://platform.openai.com/docs/api-reference/chat-streaming.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST_BYTES = 1048576
"""A stream that has become longer is no longer remembered."""

LONGEST_EVENT = 65536
"""What has no end of an event for so long is no stream of events."""

END = b"\n\n"
"""Ends an event; fed last, so that a mark without it counts too."""

PASSED_ON = "BYPASS"
"""X-Cache of what the gateway does not keep."""


class Different(Exception):
    """The second answer does not continue the first, or the first is nothing that can be continued."""


class Delivered:
    """What of a stream the application has been given: whole events, so that another stream's can follow them."""

    def __init__(self) -> None:
        self._parts: list[bytes] | None = []
        self._size = 0
        self._rest = b""

    def take(self, part: bytes) -> bytes:
        """Return what can be handed on now that `part` has come."""
        if self._parts is None:
            return part
        whole, self._rest = split(self._rest + part)
        if len(self._rest) > LONGEST_EVENT or self._size > MOST_BYTES:
            whole, self._rest, self._parts = whole + self._rest, b"", None
            return whole
        self._parts.append(whole)
        self._size += len(whole)
        return whole

    def end(self) -> bytes:
        """Return what is still to be handed on where the stream has ended."""
        return self._rest

    def events(self) -> bytes:
        """Return all that was handed on. Raises Different where that is not known."""
        if self._parts is None:
            raise Different("the stream was too long")
        return b"".join(self._parts)


class Continuation:
    """Follows the second stream and lets through what the first did not bring."""

    def __init__(self, delivered: Delivered) -> None:
        """Read what was delivered. Raises Different where it is no chat answer of one choice and plain text."""
        self._rest = b""
        self._seen: set[str] = set()
        self._same: dict[str, Any] = {}
        text = []
        for event in delivered.events().replace(b"\r\n", b"\n").split(END):
            kind, chunk, content = _read(event)
            if kind:
                self._seen.add(kind)
                text.append(content)
            if chunk and not self._same:
                self._same = {name: chunk[name] for name in ("id", "created") if name in chunk}
        self._ahead = "".join(text)

    @property
    def complete(self) -> bool:
        """Whether the application has the whole answer."""
        return "done" in self._seen

    def feed(self, part: bytes) -> bytes:
        """Return what of the second stream is new. Raises Different."""
        whole, self._rest = split(self._rest + part)
        return b"".join(map(self._new, whole.replace(b"\r\n", b"\n").split(END)))

    def _new(self, event: bytes) -> bytes:
        kind, chunk, content = _read(event)
        known = self._ahead[: len(content)]
        if not content.startswith(known) or (self._ahead and kind in ("end", "done") and known != self._ahead):
            raise Different("the provider's answer is another this time")
        self._ahead = self._ahead[len(known) :]
        fresh = content[len(known) :]
        if not kind or (not fresh and (self._ahead or kind in self._seen)):
            return b""
        if fresh and "end" in self._seen:
            raise Different("the provider's answer goes on where the first had ended")
        self._seen.add(kind)
        if not chunk:
            return event + END
        chunk.update(self._same)
        if content:
            chunk["choices"][0]["delta"]["content"] = fresh
        return b"data: " + _json().dumps(chunk).encode() + END


def split(data: bytes) -> tuple[bytes, bytes]:
    """Split behind the last whole event."""
    end = max(data.rfind(END) + 2, data.rfind(b"\r\n\r\n") + 4 if b"\r\n\r\n" in data else 0)
    return (data[:end], data[end:]) if end > 1 else (b"", data)


def _read(event: bytes) -> tuple[str, dict[str, Any], str]:
    """Return what an event is ("" nothing, begin, text, end, usage, done), its chunk, and its text."""
    lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
    if not lines:
        return "", {}, ""
    data = b"\n".join(lines)
    if data == b"[DONE]":
        return "done", {}, ""
    try:
        chunk = _json().loads(data)
        choices = chunk["choices"]
        if chunk["object"] != "chat.completion.chunk" or len(choices) > 1:
            raise Different("no chat of one choice")
        if not choices:
            return "usage", chunk, ""
        choice, delta = choices[0], choices[0]["delta"]
        if choice["index"] or any(delta[name] for name in delta if name not in ("role", "content")):
            raise Different("more than text")
        content = delta.get("content") or ""
        if not isinstance(content, str):
            raise Different("more than text")
        if choice.get("finish_reason"):
            return "end", chunk, content
        # Some send the usage in a last chunk with an empty text.
        return ("text" if content else "usage" if chunk.get("usage") else "begin"), chunk, content
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Different("no chat") from error


def _json() -> Any:
    """Import it where it is needed: who streams a chat has loaded it long since."""
    import json

    return json
