# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Bot API as far as bots for chats use it: https://core.telegram.org/bots/api."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import hashlib
import itertools
import json
import re
import time
from typing import Any

from aiohttp import web

from sandbox.providers import pictures
from sandbox.providers.calls import Clock, Counters

BOT_ID = 424242
MESSAGES_PER_SECOND = 30
"""What a bot may send in all, https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this."""
MAX_TEXT = 4096
REPLIES_KEPT = 20_000

TOKEN = re.compile(r"\d+:[A-Za-z0-9_-]{30,}\Z")


class TelegramError(Exception):
    """An answer with `ok: false`."""

    def __init__(self, status: int, description: str, **parameters: Any) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters


class Limiter:
    """At most `limit` events in any `window` seconds."""

    def __init__(self, limit: int, window: float = 1.0) -> None:
        self.limit = limit
        self.window = window
        self._times: collections.deque[float] = collections.deque()

    def wait_for(self, now: float) -> float:
        """Count one event at `now`; return 0, or the seconds to wait when there were too many (it is not counted)."""
        while self._times and now - self._times[0] >= self.window:
            self._times.popleft()
        if len(self._times) >= self.limit:
            return self.window - (now - self._times[0])
        self._times.append(now)
        return 0.0


def command_entities(text: str) -> list[dict[str, Any]]:
    """Return the entities of a user's text: the command at its start, if there is one."""
    found = re.match(r"/\w+", text)
    return [{"type": "bot_command", "offset": 0, "length": found.end()}] if found else []


class Chats:
    """What users wrote and the bot has not fetched yet, and what the bot replied."""

    def __init__(self) -> None:
        self._update_ids = itertools.count(1_000_001)
        self._message_ids = itertools.count(1)
        self._pending: collections.deque[dict[str, Any]] = collections.deque()
        self._replies: collections.deque[dict[str, Any]] = collections.deque(maxlen=REPLIES_KEPT)
        self._reply_numbers = itertools.count(1)
        self._last_reply = 0
        self._newest_poll = 0
        self._changed = asyncio.Condition()

    async def forget(self) -> None:
        """Drop what is waiting, in both directions. Numbers go on: a bot that runs remembers the last one it saw."""
        async with self._changed:
            self._pending.clear()
            self._replies.clear()

    async def write(self, chat_id: int, text: str | None = None, picture: int | None = None) -> int:
        """Let the user of `chat_id` send a text, or a camera picture as a file. Return the message's number."""
        user = {"id": chat_id, "is_bot": False, "first_name": f"User {chat_id}", "language_code": "en"}
        message: dict[str, Any] = {
            "message_id": next(self._message_ids),
            "date": int(time.time()),
            "chat": {"id": chat_id, "type": "private", "first_name": user["first_name"]},
            "from": user,
        }
        if picture is not None:
            number = picture % pictures.CAMERA_PICTURES
            message["document"] = {
                "file_id": f"CAM{number:04d}-{message['message_id']}",
                "file_unique_id": f"CAM{number:04d}",
                "file_name": f"IMG_{number:04d}.jpg",
                "mime_type": "image/jpeg",
                "file_size": len(await asyncio.to_thread(pictures.camera, number)),
            }
        else:
            message["text"] = text or ""
            if entities := command_entities(message["text"]):
                message["entities"] = entities
        async with self._changed:
            self._pending.append({"update_id": next(self._update_ids), "message": message})
            self._changed.notify_all()
        return message["message_id"]

    async def updates(self, offset: int, limit: int, timeout: float) -> list[dict[str, Any]]:
        """Return what waits from `offset` on, after `timeout` seconds at most. What is below `offset` is done with.

        Raises TelegramError when another call comes in meanwhile: two programs polling would both get every update.
        """
        async with self._changed:
            self._newest_poll += 1
            own = self._newest_poll
            self._changed.notify_all()
            while self._pending and self._pending[0]["update_id"] < offset:
                self._pending.popleft()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(
                    self._changed.wait_for(lambda: self._pending or own != self._newest_poll), max(timeout, 0.001)
                )
            if own != self._newest_poll:
                raise TelegramError(
                    409,
                    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
                )
            return list(itertools.islice(self._pending, limit))

    async def reply(self, chat_id: int, method: str, message_id: int, **content: Any) -> None:
        """Note what the bot sent to a user."""
        async with self._changed:
            self._last_reply = next(self._reply_numbers)
            self._replies.append(
                {
                    "number": self._last_reply,
                    "time": time.time(),
                    "chat_id": chat_id,
                    "method": method,
                    "message_id": message_id,
                    **content,
                }
            )
            self._changed.notify_all()

    async def replies(self, after: int, wait: float) -> tuple[list[dict[str, Any]], int]:
        """Return the bot's replies with a number above `after`, and the last number given. Waits `wait` seconds."""
        async with self._changed:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(lambda: self._last_reply > after), max(wait, 0.001))
            return [reply for reply in self._replies if reply["number"] > after], self._last_reply

    def sent_by_bot(self, chat_id: int, message_id: int | None = None) -> dict[str, Any]:
        """Return the frame of a message of the bot's, with a new number or (an edit) the one given."""
        return {
            "message_id": message_id or next(self._message_ids),
            "date": int(time.time()),
            "chat": {"id": chat_id, "type": "private", "first_name": f"User {chat_id}"},
            "from": {"id": BOT_ID, "is_bot": True, "first_name": "Image bot", "username": "image_bot"},
        }


class Telegram:
    """The HTTP side."""

    def __init__(self, clock: Clock, counters: Counters) -> None:
        self.clock = clock
        self.counters = counters
        self.chats = Chats()
        self.limiter = Limiter(MESSAGES_PER_SECOND)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=60 * 2**20)
        app.router.add_route("*", "/bot{token}/{method}", self._method)
        app.router.add_get("/file/bot{token}/{path:.+}", self._file)
        return app

    async def _method(self, request: web.Request) -> web.Response:
        try:
            result = await self._dispatch(request)
        except TelegramError as error:
            body: dict[str, Any] = {"ok": False, "error_code": error.status, "description": error.description}
            if error.parameters:
                body["parameters"] = error.parameters
            return web.json_response(body, status=error.status)
        return web.json_response({"ok": True, "result": result})

    async def _dispatch(self, request: web.Request) -> Any:
        if not TOKEN.match(request.match_info["token"]):
            raise TelegramError(401, "Unauthorized")
        fields = await _fields(request)
        name = request.match_info["method"]
        if name.lower() == "getupdates":
            return await self.chats.updates(
                int(fields.get("offset") or 0), int(fields.get("limit") or 100), float(fields.get("timeout") or 0)
            )
        await self.clock.wait("telegram")
        method = getattr(self, f"_do_{name.lower()}", None)
        if method is None:
            raise TelegramError(404, f"Not Found: the stand-in has no method {name}")
        return await method(fields)

    async def _file(self, request: web.Request) -> web.Response:
        found = re.match(r"documents/file_(\d+)\.jpg\Z", request.match_info["path"])
        if not found:
            raise web.HTTPNotFound
        await self.clock.wait("telegram")
        return web.Response(
            body=await asyncio.to_thread(pictures.camera, int(found[1])), content_type="application/octet-stream"
        )

    def _chat_id(self, fields: dict[str, Any]) -> int:
        try:
            return int(fields["chat_id"])
        except (KeyError, ValueError):
            raise TelegramError(400, "Bad Request: chat_id is empty") from None

    def _limit(self) -> None:
        wait = self.limiter.wait_for(time.monotonic())
        if wait > 0:
            seconds = int(wait) + 1
            raise TelegramError(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)

    def _text(self, fields: dict[str, Any]) -> str:
        text = str(fields.get("text", ""))
        if not text.strip():
            raise TelegramError(400, "Bad Request: message text is empty")
        if len(text) > MAX_TEXT:
            raise TelegramError(400, "Bad Request: message is too long")
        return text

    async def _do_getme(self, _fields: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": BOT_ID,
            "is_bot": True,
            "first_name": "Image bot",
            "username": "image_bot",
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
        }

    async def _do_true(self, _fields: dict[str, Any]) -> bool:
        return True

    _do_deletewebhook = _do_setmycommands = _do_sendchataction = _do_answercallbackquery = _do_true
    _do_deletemessage = _do_logout = _do_close = _do_true

    async def _do_getwebhookinfo(self, _fields: dict[str, Any]) -> dict[str, Any]:
        return {"url": "", "has_custom_certificate": False, "pending_update_count": 0}

    async def _do_sendmessage(self, fields: dict[str, Any]) -> dict[str, Any]:
        chat_id, text = self._chat_id(fields), self._text(fields)
        self._limit()
        message = {**self.chats.sent_by_bot(chat_id), "text": text}
        await self.chats.reply(chat_id, "sendMessage", message["message_id"], text=text)
        return message

    async def _do_editmessagetext(self, fields: dict[str, Any]) -> dict[str, Any]:
        chat_id, text = self._chat_id(fields), self._text(fields)
        message_id = int(fields.get("message_id") or 0)
        if message_id <= 0:
            raise TelegramError(400, "Bad Request: message to edit not found")
        message = {**self.chats.sent_by_bot(chat_id, message_id), "text": text, "edit_date": int(time.time())}
        await self.chats.reply(chat_id, "editMessageText", message_id, text=text)
        return message

    async def _do_sendphoto(self, fields: dict[str, Any]) -> dict[str, Any]:
        return await self._send_file(fields, "photo")

    async def _do_senddocument(self, fields: dict[str, Any]) -> dict[str, Any]:
        return await self._send_file(fields, "document")

    async def _send_file(self, fields: dict[str, Any], kind: str) -> dict[str, Any]:
        chat_id = self._chat_id(fields)
        content = fields.get(kind)
        if isinstance(content, str) and content.startswith("attach://"):
            content = fields.get(content[len("attach://") :])
        if isinstance(content, web.FileField):
            content = content.file.read()
        elif isinstance(content, str):
            content = content.encode()
        if not content:
            raise TelegramError(400, f"Bad Request: there is no {kind} in the request")
        self._limit()
        digest = hashlib.sha256(content).hexdigest()
        file = {"file_id": f"BOT{digest[:24]}", "file_unique_id": digest[:16], "file_size": len(content)}
        message = self.chats.sent_by_bot(chat_id)
        message[kind] = [{**file, "width": 1024, "height": 768}] if kind == "photo" else file
        if fields.get("caption"):
            message["caption"] = fields["caption"]
        await self.chats.reply(
            chat_id,
            f"send{kind.capitalize()}",
            message["message_id"],
            caption=fields.get("caption", ""),
            sha256=digest,
            bytes=len(content),
        )
        return message

    async def _do_getfile(self, fields: dict[str, Any]) -> dict[str, Any]:
        found = re.match(r"CAM(\d{4})", str(fields.get("file_id", "")))
        if not found:
            raise TelegramError(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
        number = int(found[1])
        return {
            "file_id": fields["file_id"],
            "file_unique_id": found[0],
            "file_size": len(await asyncio.to_thread(pictures.camera, number)),
            "file_path": f"documents/file_{number}.jpg",
        }


async def _fields(request: web.Request) -> dict[str, Any]:
    """Return a call's parameters, which may come in the query, as a form or as JSON."""
    fields: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        try:
            fields.update(json.loads(await request.read() or b"{}"))
        except ValueError:
            raise TelegramError(400, "Bad Request: can't parse JSON") from None
    elif request.can_read_body:
        fields.update(await request.post())
    return fields
