# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Simulated users: each thinks, writes to the bot, waits for the answer, and thinks again."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import hashlib
import time
from typing import Any

from sandbox.load.statistics import Jobs, Tally
from sandbox.load.targets import Api, Providers
from sandbox.load.workload import Request, Workload

FIRST_CHAT = 100_001
JOB_KINDS = ("image", "upload")
COMMANDS = {"chat": "/chat ", "translate": "/translate ", "image": "/image "}

# How this bot marks what is not an answer yet, and what is none at all.
PLACEHOLDER, CURSOR, APOLOGY = "⏳", "▌", "⚠️"
JOB_POLL_SECONDS = 2.0


def verdict(reply: dict[str, Any]) -> str:
    """Tell what a reply of the bot means to its user: `wait`, `answer` or `failed`."""
    if reply["method"] in ("sendPhoto", "sendDocument"):
        return "answer"
    text = reply.get("text", "")
    if text.startswith(APOLOGY):
        return "failed"
    return "wait" if text.startswith(PLACEHOLDER) or text.rstrip().endswith(CURSOR) else "answer"


def message(request: Request) -> str:
    """Return what the user types for a request."""
    return COMMANDS.get(request.kind, "") + request.prompt


def answer_digest(reply: dict[str, Any]) -> str:
    """Return a short hash of what the user got, to compare two runs by."""
    return hashlib.sha256((reply.get("text") or reply.get("sha256") or "").encode()).hexdigest()[:16]


@dataclasses.dataclass
class Limits:
    """When a run ends: after `seconds`, or `requests` of each user; then late answers get `drain` seconds."""

    seconds: float
    drain: float
    requests: int | None = None


class Crowd:
    """All users of one run, and what they measured."""

    def __init__(self, providers: Providers, api: Api, workload: Workload, limits: Limits) -> None:
        self.providers = providers
        self.api = api
        self.workload = workload
        self.limits = limits
        self.bot: dict[str, Tally] = collections.defaultdict(Tally)
        self.web: dict[str, Tally] = collections.defaultdict(Tally)
        self.jobs = Jobs()
        self.failures: collections.Counter[str] = collections.Counter()
        self.answers: list[dict[str, Any]] = []
        self.web_answers: list[dict[str, Any]] = []
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._acknowledged: set[int] = set()
        self._web_jobs: dict[str, asyncio.Task[None]] = {}
        self._stop_at = 0.0
        self._told_to_end = asyncio.Event()

    def stop(self) -> None:
        """Start no more requests; what has been started is waited for, as at the end of the time."""
        self._told_to_end.set()

    async def run(self, users: int) -> float:
        """Let `users` work until the limits are reached. Return the seconds that the drain took."""
        reader = asyncio.create_task(self._read())
        begin = time.monotonic()
        self._stop_at = begin + self.limits.seconds
        crowd = [asyncio.create_task(self._user(user)) for user in range(users)]
        told = asyncio.create_task(self._told_to_end.wait())
        end: set[asyncio.Future[Any]] = {asyncio.gather(*crowd, return_exceptions=True), told}
        await asyncio.wait(end, timeout=self.limits.seconds, return_when=asyncio.FIRST_COMPLETED)
        drain_from = time.monotonic()
        done, late = await asyncio.wait(crowd, timeout=self.limits.drain)
        await self._drain_web_jobs(drain_from + self.limits.drain)
        drained = time.monotonic() - drain_from
        for task in (*late, reader, told, *self._web_jobs.values()):
            task.cancel()
        await asyncio.gather(*crowd, reader, told, *self._web_jobs.values(), return_exceptions=True)
        for task in done:
            task.result()  # a fault of the load itself must not look like a quiet run
        self.jobs.settle(await self._queue_is_empty())
        return drained

    async def _read(self) -> None:
        """Hand each reply of the bot to the user who waits for it."""
        async for reply in self.providers.replies():
            waiting = self._waiting.get(reply["chat_id"])
            if waiting is None or waiting.done():
                continue
            if verdict(reply) == "wait":
                self._acknowledged.add(reply["chat_id"])
            else:
                waiting.set_result(reply)

    async def _user(self, user: int) -> None:
        chat_id = FIRST_CHAT + user
        has_talked = False
        for number, request in enumerate(self.workload.of_user(user)):
            if number == self.limits.requests:
                return
            left = max(self._stop_at - time.monotonic(), 0.0)
            # Whose time is up before he has thought sleeps until then: the others go on, and the drain starts later.
            if await self._ended_within(min(request.think, left)) or request.think >= left:
                return
            if request.api:
                await self._visit(user, number, chat_id, request)
            if time.monotonic() >= self._stop_at:
                return
            if request.kind == "chat" and not has_talked:
                # What the bot remembers of an earlier run would make other answers out of the same questions.
                await self._send_and_wait(chat_id, "/reset", None)
                has_talked = True
            await self._ask(user, number, chat_id, request)

    async def _ended_within(self, seconds: float) -> bool:
        """Sleep; whether the load was told to end meanwhile."""
        try:
            await asyncio.wait_for(self._told_to_end.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True

    async def _ask(self, user: int, number: int, chat_id: int, request: Request) -> None:
        tally = self.bot[request.kind]
        is_upload = request.kind == "upload"
        sent = time.time()
        tally.sent += 1
        good = False
        try:
            reply = await self._send_and_wait(
                chat_id, None if is_upload else message(request), request.picture if is_upload else None
            )
            good = verdict(reply) == "answer"
        finally:
            # Also when cancelled at the end of the drain: a job that the bot took on counts, whatever became of it.
            accepted = request.kind in JOB_KINDS and (good or chat_id in self._acknowledged)
            self.jobs.enqueued += accepted
        self.jobs.finished += accepted and good
        self.jobs.failed += accepted and not good
        if good:
            # The stand-in's clock is this machine's.
            tally.seconds.append(max(reply["time"] - sent, 0.0))
        else:
            tally.failed += 1
            self.failures[f"{request.kind}: {reply.get('text', '')[:120]}"] += 1
        self.answers.append(
            {"user": user, "number": number, "kind": request.kind, "prompt": request.prompt,
             "answer": answer_digest(reply) if good else None}
        )  # fmt: skip

    async def _send_and_wait(self, chat_id: int, text: str | None, picture: int | None) -> dict[str, Any]:
        waiting = self._waiting[chat_id] = asyncio.get_running_loop().create_future()
        self._acknowledged.discard(chat_id)
        await self.providers.write(chat_id, text, picture)
        return await waiting

    async def _visit(self, user: int, number: int, chat_id: int, request: Request) -> None:
        """Make one call of the web side, and follow a job that came of it."""
        method, path, body = {
            "stats": ("GET", "/api/stats", None),
            "media": ("GET", f"/api/media?chat_id={chat_id}", None),
            "chat": ("POST", "/api/chat", {"chat_id": chat_id, "text": request.api_prompt}),
            "job": ("POST", "/api/jobs", {"prompt": request.api_prompt}),
        }[request.api or "stats"]
        status, answer, _unused = await self._web(request.api or "stats", method, path, body)
        if request.api == "chat":
            words = answer.get("answer") if status == 200 and answer else None
            self.web_answers.append(
                {"user": user, "number": number, "kind": "api chat", "prompt": request.api_prompt,
                 "answer": answer_digest({"text": words}) if words else None}
            )  # fmt: skip
        if request.api == "job" and status == 200 and answer:
            self.jobs.enqueued += 1
            self._web_jobs[answer["id"]] = asyncio.create_task(self._follow(answer["id"]))

    async def _web(self, kind: str, method: str, path: str, body: Any = None) -> tuple[int, Any, float]:
        tally = self.web[kind]
        tally.sent += 1
        status, answer, seconds = await self.api.call(method, path, body)
        if 200 <= status < 400:
            tally.seconds.append(seconds)
        else:
            tally.failed += 1
            self.failures[f"api {kind}: {status or 'no answer'}"] += 1
        return status, answer, seconds

    async def _follow(self, job: str) -> None:
        """Ask after a job until it has ended. An API that is away for a moment says nothing about the job."""
        while True:
            await asyncio.sleep(JOB_POLL_SECONDS)
            status, answer, _unused = await self.api.call("GET", f"/api/jobs/{job}")
            if status == 404:
                self.jobs.lost += 1
                return
            state = answer.get("status") if status == 200 and answer else None
            if state == "finished":
                self.jobs.finished += 1
                return
            if state in ("failed", "stopped", "canceled"):
                self.jobs.failed += 1
                return

    async def _drain_web_jobs(self, until: float) -> None:
        if self._web_jobs:
            await asyncio.wait(self._web_jobs.values(), timeout=max(until - time.monotonic(), 0.0))

    async def _queue_is_empty(self) -> bool:
        """Tell whether no job waits or runs. An API that does not answer cannot tell: no job counts as lost then."""
        with contextlib.suppress(TypeError, KeyError):
            answer = (await self.api.call("GET", "/api/stats"))[1]
            return bool(answer["queue"] == 0 and answer["running"] == 0)
        return False
