# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fal's queue, its direct calls and its media host: https://docs.fal.ai/model-apis/model-endpoints/queue."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import time
import uuid
from typing import Any

from aiohttp import web

from sandbox.providers import FAL_MEDIA, FAL_QUEUE, pictures
from sandbox.providers.calls import Clock, Counters

CONCURRENT_REQUESTS = 2
"""What a new account gets, https://docs.fal.ai/model-apis/faq (concurrency limits)."""


@dataclasses.dataclass
class Job:
    """One request for pictures."""

    model: str
    arguments: dict[str, Any]
    number: str
    seed: int
    state: str = "IN_QUEUE"
    submitted: float = dataclasses.field(default_factory=time.monotonic)
    seconds: float = 0.0
    done: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        # An application of three parts (owner/app/path) is asked after by its first two.
        owner_and_app = "/".join(self.model.split("/")[:2])
        return f"https://{FAL_QUEUE}/{owner_and_app}/requests/{self.number}"

    @property
    def addresses(self) -> dict[str, str]:
        return {
            "response_url": self.url,
            "status_url": f"{self.url}/status",
            "cancel_url": f"{self.url}/cancel",
        }


@dataclasses.dataclass(frozen=True)
class Picture:
    """What the media host can paint again at any time."""

    name: str
    width: int
    height: int

    @property
    def path(self) -> str:
        return f"files/panda/{hashlib.sha256(f'{self}'.encode()).hexdigest()[:32]}.jpg"


def pictures_of(job: Job) -> list[Picture]:
    """Return the pictures of a job: equal model, arguments and seed give equal pictures."""
    size = job.arguments.get("image_size", "landscape_4_3")
    if isinstance(size, dict):
        width, height = int(size.get("width", 1024)), int(size.get("height", 768))
    else:
        width, height = pictures.SIZES.get(str(size), pictures.SIZES["landscape_4_3"])
    decisive = {key: value for key, value in job.arguments.items() if key != "seed"}
    recipe = json.dumps([job.model, decisive, job.seed], sort_keys=True)
    count = max(1, min(4, int(job.arguments.get("num_images") or 1)))
    return [Picture(f"{recipe} {number}", width, height) for number in range(count)]


class Fal:
    """The HTTP side of the three hosts, and the slots that jobs wait for."""

    def __init__(self, clock: Clock, counters: Counters) -> None:
        self.clock = clock
        self.counters = counters
        self.slots = CONCURRENT_REQUESTS
        self.running = 0
        self.jobs: dict[str, Job] = {}
        self.media: dict[str, Picture] = {}
        self._waiting: list[Job] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def queue_application(self) -> web.Application:
        app = web.Application(client_max_size=8 * 2**20)
        app.router.add_get("/{app:.+}/requests/{number}/status", self._status)
        app.router.add_put("/{app:.+}/requests/{number}/cancel", self._cancel)
        app.router.add_get("/{app:.+}/requests/{number}", self._result)
        app.router.add_post("/{model:.+}", self._submit)
        return app

    def run_application(self) -> web.Application:
        app = web.Application(client_max_size=8 * 2**20)
        app.router.add_post("/{model:.+}", self._run)
        return app

    def media_application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/{path:.+}", self._picture)
        return app

    async def _job(self, request: web.Request) -> Job | web.Response:
        if not request.headers.get("Authorization", "").startswith("Key "):
            return web.json_response({"detail": "Authentication is required to access this application"}, status=401)
        try:
            arguments = await request.json()
        except ValueError:
            return web.json_response({"detail": "The body is not JSON"}, status=422)
        if not isinstance(arguments, dict) or not arguments.get("prompt"):
            problem = {"loc": ["body", "prompt"], "msg": "field required", "type": "value_error.missing"}
            return web.json_response({"detail": [problem]}, status=422)
        seed = arguments.get("seed")
        seed = self.clock.chance.randrange(2**32) if seed is None else int(seed)
        number = str(uuid.UUID(int=self.clock.chance.getrandbits(128), version=4))
        job = Job(request.match_info["model"], arguments, number, seed)
        self.jobs[number] = job
        return job

    def _start_waiting(self) -> None:
        while self._waiting and self.running < self.slots:
            job = self._waiting.pop(0)
            self.running += 1
            self.counters.peak("fal.running", self.running)
            job.state = "IN_PROGRESS"
            task = asyncio.create_task(self._infer(job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self.counters.peak("fal.waiting", len(self._waiting))

    async def _infer(self, job: Job) -> None:
        job.seconds = self.clock.draw("fal.inference")
        try:
            await asyncio.sleep(job.seconds)
        finally:
            self.running -= 1
            job.state = "COMPLETED"
            job.done.set()
            self._start_waiting()

    async def _submit(self, request: web.Request) -> web.Response:
        job = await self._job(request)
        if isinstance(job, web.Response):
            return job
        await self.clock.wait("fal.queue")
        self._waiting.append(job)
        self._start_waiting()
        return web.json_response({"status": "IN_QUEUE", **self._progress(job)})

    def _progress(self, job: Job) -> dict[str, Any]:
        body: dict[str, Any] = {"request_id": job.number, **job.addresses}
        if job.state == "IN_QUEUE":
            body["queue_position"] = self._waiting.index(job) if job in self._waiting else 0
        return body

    def _find(self, request: web.Request) -> Job | None:
        return self.jobs.get(request.match_info["number"])

    async def _status(self, request: web.Request) -> web.Response:
        job = self._find(request)
        if job is None:
            return web.json_response({"detail": "Request not found"}, status=404)
        body = {"status": job.state, **self._progress(job), "logs": None}
        if job.state == "COMPLETED":
            body["metrics"] = {"inference_time": round(job.seconds, 3)}
        return web.json_response(body, status=200 if job.state == "COMPLETED" else 202)

    async def _cancel(self, request: web.Request) -> web.Response:
        job = self._find(request)
        if job is None or job not in self._waiting:
            return web.json_response({"status": "ALREADY_COMPLETED"}, status=400)
        self._waiting.remove(job)
        job.state = "COMPLETED"
        return web.json_response({"status": "CANCELLATION_REQUESTED"}, status=202)

    def _answer(self, job: Job) -> dict[str, Any]:
        images = []
        for picture in pictures_of(job):
            self.media[picture.path] = picture
            images.append(
                {
                    "url": f"https://{FAL_MEDIA}/{picture.path}",
                    "width": picture.width,
                    "height": picture.height,
                    "content_type": "image/jpeg",
                }
            )
        return {
            "images": images,
            "timings": {"inference": job.seconds},
            "seed": job.seed,
            "has_nsfw_concepts": [False] * len(images),
            "prompt": job.arguments["prompt"],
        }

    async def _result(self, request: web.Request) -> web.Response:
        job = self._find(request)
        if job is None:
            return web.json_response({"detail": "Request not found"}, status=404)
        if job.state != "COMPLETED":
            return web.json_response({"detail": "Request is still in progress"}, status=400)
        return web.json_response(self._answer(job))

    async def _run(self, request: web.Request) -> web.Response:
        job = await self._job(request)
        if isinstance(job, web.Response):
            return job
        self._waiting.append(job)
        self._start_waiting()
        await job.done.wait()
        return web.json_response(self._answer(job))

    async def _picture(self, request: web.Request) -> web.Response:
        picture = self.media.get(request.match_info["path"])
        if picture is None:
            raise web.HTTPNotFound
        await self.clock.wait("fal.media")
        body = await asyncio.to_thread(pictures.generated, picture.name, picture.width, picture.height)
        return web.Response(body=body, content_type="image/jpeg", headers={"Cache-Control": "public, max-age=604800"})
