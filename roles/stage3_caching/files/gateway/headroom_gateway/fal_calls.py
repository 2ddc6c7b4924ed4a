# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fal's queue: submitting, asking for the status and fetching the result are one question with one answer.

The kept answer holds all three bodies. Who submits what is known gets the old submit answer, and its request number is
then answered from here: COMPLETED, and the result (https://docs.fal.ai/model-apis/model-endpoints/queue).
"""

from __future__ import annotations

import collections
import dataclasses
import json
import time
from typing import Any

from headroom_gateway import answers, reply
from headroom_gateway import key as keys
from headroom_gateway.entry import Entry
from headroom_gateway.flights import Flights, Keep
from headroom_gateway.http_message import Head
from headroom_gateway.metrics import Metrics
from headroom_gateway.plan import Call, Plan
from headroom_gateway.policy import Route
from headroom_gateway.server import Responder
from headroom_gateway.store import Store, new_entry

MOST_JOBS = 1000
"""Jobs in memory, some kilobytes each."""
JOB_SECONDS = 900.0
"""A job without a result after this time is not joined any more."""
TICKET_SECONDS = 3600.0
"""How long a request number that was given out again is answered from here, also by a gateway that was restarted."""
MOST_STATUS = 1000
_JSON = (b"content-type", b"application/json")


@dataclasses.dataclass
class Job:
    """A job at Fal. `submitted` and `status` are bodies of answers; `result` is there when the job is done. `clients`:
    how many got its number and have not cancelled it."""

    key: bytes
    provider: str
    route: Route
    submitted: bytes
    began: float
    clients: int = 1
    generation: int = 0
    status: bytes = b""
    result: Entry | None = None


def ticket_of(path: bytes, credential: bytes) -> bytes:
    """Return the key of a job by the path that asks after it, `/.../requests/<number>[/status|/cancel]`."""
    number = path.partition(b"/requests/")[2].partition(b"/")[0]
    return keys.digest((b"fal", credential, number))


def completed_status(submitted: bytes) -> bytes:
    """Return the status of a job that is done, when nobody has asked Fal for it."""
    known = json.loads(submitted)
    body = {name: value for name, value in known.items() if name not in ("status", "queue_position")}
    return json.dumps({"status": "COMPLETED", **body, "logs": None, "metrics": {}}).encode()


def to_body(job: Job) -> bytes:
    """Write the three bodies of a job as one."""
    assert job.result is not None
    parts = (job.submitted, job.status or completed_status(job.submitted), job.result.body)
    return json.dumps([part.decode("utf-8", "surrogateescape") for part in parts], ensure_ascii=False).encode(
        "utf-8", "surrogateescape"
    )


def from_body(body: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Read what `to_body` wrote; None when it is something else."""
    try:
        submitted, status, result = json.loads(body.decode("utf-8", "surrogateescape"))
        return _bytes(submitted), _bytes(status), _bytes(result)
    except (ValueError, AttributeError, TypeError):
        return None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _fields(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class FalCalls:
    """Answers calls to the queue."""

    def __init__(self, store: Store, flights: Flights, metrics: Metrics, limit: int, jitter: float) -> None:
        self._store = store
        self._flights = flights
        self._metrics = metrics
        self._limit = limit
        self._jitter = jitter
        self._jobs: collections.OrderedDict[bytes, Job] = collections.OrderedDict()
        self._open: dict[bytes, bytes] = {}
        self._recent: collections.OrderedDict[bytes, tuple[float, Head, bytes]] = collections.OrderedDict()

    async def answer(self, call: Call, plan: Plan, responder: Responder) -> str | None:
        """Answer a call; return what X-Cache said, None when the call has to be passed through."""
        assert call.route is not None
        kind = call.route.answer
        if kind == "fal_submit":
            return await self._submit(call, plan, responder)
        job = await self._job(call, plan)
        if kind == "fal_cancel":
            return self._cancel(plan, job, call, responder)
        if job is not None and job.result is not None:
            entry = job.result
            if kind == "fal_status":
                entry = Entry(entry.stored, entry.fresh_until, [_JSON], job.status or completed_status(job.submitted))
            reply.kept(responder, entry, time.time())
            self._metrics.count("cache_bytes_total", call.provider.name, by=len(entry.body))
            return reply.HIT
        if kind == "fal_status":
            return await self._status(call, plan, job, responder)
        return await self._fly(call, plan, responder, lambda *answer: self._keep_result(call, plan, job, *answer))

    def purge(self, provider: str) -> None:
        """Forget all jobs: those under way go on, but nobody joins them."""
        self._open.clear()
        self._recent.clear()
        for ticket in [ticket for ticket, job in self._jobs.items() if job.provider == provider]:
            del self._jobs[ticket]

    async def _submit(self, call: Call, plan: Plan, responder: Responder) -> str:
        assert call.route is not None
        provider, now = call.provider.name, time.time()
        stale: Entry | None = None
        revived: Job | None = None
        if plan.read:
            entry = (await self._store.get(provider, [plan.key], call.route.grace))[0]
            revived = None if entry is None else self._revive(call, plan, entry)
            if entry is not None and revived is not None:
                again = Entry(entry.stored, entry.fresh_until, [_JSON], revived.submitted)
                fresh = entry.fresh_until > now and (plan.max_age is None or entry.age(now) <= plan.max_age)
                if fresh:
                    await self._hand_out(plan, revived)
                    reply.kept(responder, again, now)
                    return reply.HIT
                stale = again
                await self._hand_out(plan, revived)  # before the client can ask after it
            job = self._jobs.get(self._open.get(plan.key, b""))
            if job is not None and job.result is None and now - job.began < JOB_SECONDS:
                job.clients += 1
                reply.whole(responder, Head(200, [_JSON]), job.submitted, reply.COALESCED)
                return reply.COALESCED
        return await self._fly(call, plan, responder, lambda *answer: self._keep_job(call, plan, *answer), stale)

    async def _status(self, call: Call, plan: Plan, job: Job | None, responder: Responder) -> str:
        known = self._recent.get(plan.key)
        if known is not None and known[0] > time.monotonic():
            reply.whole(responder, known[1], known[2], reply.HIT)
            return reply.HIT
        return await self._fly(call, plan, responder, lambda *answer: self._keep_status(call, plan, job, *answer))

    def _cancel(self, plan: Plan, job: Job | None, call: Call, responder: Responder) -> str | None:
        if job is None:
            return None
        if job.result is not None:
            reply.fields(responder, 400, {"status": "ALREADY_COMPLETED"}, reply.HIT)
            return reply.HIT
        if job.clients > 1:
            # Somebody else waits for the same job.
            job.clients -= 1
            reply.fields(responder, 202, {"status": "CANCELLATION_REQUESTED"}, reply.COALESCED)
            return reply.COALESCED
        self._close(job)
        return None

    async def _fly(self, call: Call, plan: Plan, responder: Responder, keep: Keep, stale: Entry | None = None) -> str:
        flight, label = self._flights.find(plan), reply.COALESCED
        if flight is None:
            label = reply.MISS
            flight = self._flights.launch(call, plan, self._limit, stale, keep)
        with flight.join() as reader:
            return await reply.relay(responder, reader, label)

    async def _job(self, call: Call, plan: Plan) -> Job | None:
        """Return the job that a path asks after, from memory, or from the cache when its number was given out again."""
        ticket = ticket_of(call.path, plan.credential)
        job = self._jobs.get(ticket)
        if job is None:
            value = await self._store.get_ticket(call.provider.name, ticket)
            submit = next((route for route in call.provider.routes if route.answer == "fal_submit"), None)
            if value is not None and submit is not None:
                entry = (await self._store.get(call.provider.name, [value], submit.grace))[0]
                job = None if entry is None else self._from_entry(value, call.provider.name, submit, entry)
                if job is not None:
                    self._remember(ticket, job)
        return job

    def _from_entry(self, key: bytes, provider: str, route: Route, entry: Entry) -> Job | None:
        bodies = from_body(entry.body)
        if bodies is None:
            return None
        submitted, status, result = bodies
        done = Entry(entry.stored, entry.fresh_until, entry.headers, result)
        return Job(key, provider, route, submitted, time.time(), status=status, result=done)

    def _revive(self, call: Call, plan: Plan, entry: Entry) -> Job | None:
        assert call.route is not None
        return self._from_entry(plan.key, call.provider.name, call.route, entry)

    async def _hand_out(self, plan: Plan, job: Job) -> None:
        """Let the job's number be answered from here from now on."""
        ticket = self._ticket(job, plan.credential)
        self._remember(ticket, job)
        await self._store.put_ticket(job.provider, ticket, job.key, TICKET_SECONDS)

    @staticmethod
    def _ticket(job: Job, credential: bytes) -> bytes:
        number = str(_fields(job.submitted).get("request_id", ""))
        return ticket_of(b"/requests/" + number.encode(), credential)

    def _remember(self, ticket: bytes, job: Job) -> None:
        self._jobs[ticket] = job
        self._jobs.move_to_end(ticket)
        while len(self._jobs) > MOST_JOBS:
            _unused, oldest = self._jobs.popitem(last=False)
            self._open.pop(oldest.key, None)

    def _close(self, job: Job) -> None:
        """Let nobody join a job any more."""
        self._open.pop(job.key, None)

    async def _keep_job(self, call: Call, plan: Plan, head: Head, body: bytes, clients: int) -> None:
        assert call.route is not None
        if reason := answers.why_not("fal_submit", head, body):
            self._metrics.count("not_kept_total", call.provider.name, reason)
            return
        provider = call.provider.name
        job = Job(plan.key, provider, call.route, body, time.time(), clients, self._store.generation(provider))
        ticket = self._ticket(job, plan.credential)
        self._remember(ticket, job)
        self._open[plan.key] = ticket

    async def _keep_status(
        self, call: Call, plan: Plan, job: Job | None, head: Head, body: bytes, _clients: int
    ) -> None:
        assert call.route is not None
        if head.status not in (200, 202):
            if job is not None and head.status in (404, 410, 422):
                self._close(job)  # Fal knows nothing of it any more
            return
        fields = _fields(body)
        if job is not None and fields.get("status") == "COMPLETED":
            if fields.get("error"):
                self._close(job)
            else:
                job.status = body
        until = time.monotonic() + call.route.status_seconds
        self._recent[plan.key] = (until, Head(head.status, [_JSON]), body)
        self._recent.move_to_end(plan.key)
        while len(self._recent) > MOST_STATUS:
            self._recent.popitem(last=False)

    async def _keep_result(
        self, call: Call, plan: Plan, job: Job | None, head: Head, body: bytes, _clients: int
    ) -> None:
        if job is None:
            return
        if reason := answers.why_not("fal_result", head, body):
            self._metrics.count("not_kept_total", call.provider.name, reason)
            if head.status != 400:  # 400: still in progress
                self._close(job)
            return
        entry, keep = new_entry(head, body, job.route, self._jitter)
        job.result = entry
        self._close(job)
        whole = Entry(entry.stored, entry.fresh_until, entry.headers, to_body(job))
        if len(whole.body) <= self._limit and job.generation == self._store.generation(job.provider):
            await self._store.put(job.provider, job.key, whole, keep)
            self._metrics.count("kept_total", job.provider)
