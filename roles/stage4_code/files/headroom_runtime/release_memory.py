# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""release-memory: freed memory goes back to the system when a process has nothing else to do.

glibc keeps what a burst has freed, and the garbage collector leaves cycles until enough new objects are made. A process
with an asyncio loop (a bot, uvicorn) looks every `idle` seconds: when it has worked since the last time and is idle
now, garbage is collected and glibc told to give back whole free pages (`malloc_trim`). What was alive at the first of
these looks, modules and classes in the main, is then frozen (`gc.freeze`): later collections pass over it, so that
neither they nor the interpreter's own full collections stop the process for the tenth of a second that they took.

A worker of RQ that runs jobs in its own process releases after each job. One that forks freezes before each fork, so
that a collection in the child does not copy the pages that it shares with its parent.

Options: `idle` (seconds, default 20; 0 leaves loops alone), `freeze` (1 or 0, default 1).
"""

from __future__ import annotations

import gc
import time

from headroom_runtime.activation import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

BUSY_SHARE = 0.25
"""A process that used more of one CPU than this is in the middle of something."""
WORTH_SECONDS = 0.2
"""CPU seconds of work since the last release that make another one worth its few milliseconds."""

_trim: Callable[[int], int] | None = None
_frozen = False
"""Whether this process, or the one it was forked from, has frozen. (Python 3.12 begins with some objects frozen.)"""


def should_release(used: float, interval: float, since_release: float) -> bool:
    """Whether to release now: `used` CPU seconds in the last `interval` seconds, `since_release` since a release."""
    return used <= BUSY_SHARE * interval and since_release >= WORTH_SECONDS


def release(freeze: bool = False) -> None:
    """Collect garbage, freeze what is left (once a process, when asked for), give free pages back to the system."""
    if freeze and not _frozen:
        freeze_once()
    else:
        gc.collect()
    trim()


def trim() -> bool:
    """Have glibc give its free pages back. False where there is no malloc_trim (musl, another allocator)."""
    global _trim
    if _trim is None:
        try:
            import ctypes

            _trim = ctypes.CDLL(None).malloc_trim
        except Exception:
            _trim = _no_trim
    return bool(_trim(0))


def _no_trim(_unused: int) -> int:
    return 0


class IdleRelease:
    """Looks every `idle` seconds, from inside an event loop, whether this is the moment."""

    def __init__(self, loop: Any, idle: float, freeze: bool) -> None:
        self._loop = loop
        self._idle = idle
        self._freeze = freeze
        self._seen = self._released = 0.0
        loop.call_later(idle, self._look)

    def _look(self) -> None:
        try:
            now = time.process_time()
            if should_release(now - self._seen, self._idle, now - self._released):
                release(self._freeze)
                self._released = now = time.process_time()
            self._seen = now
            self._loop.call_later(self._idle, self._look)
        except Exception as error:
            say("release-memory stops", error)


def watch_loops(base_events: ModuleType, idle: float, freeze: bool) -> None:
    """Look after every loop of `asyncio.base_events` while it runs."""
    if idle <= 0:
        return
    original = base_events.BaseEventLoop.run_forever

    def run_forever(self: Any) -> None:
        watch(self, idle, freeze)
        return original(self)

    run_forever.__doc__ = original.__doc__
    base_events.BaseEventLoop.run_forever = run_forever


def watch(loop: Any, idle: float, freeze: bool) -> None:
    """Look after this loop, once."""
    try:
        if not getattr(loop, "_headroom_idle_release", None):
            loop._headroom_idle_release = IdleRelease(loop, idle, freeze)
    except Exception as error:
        say("release-memory not applied to a loop", error)


def watch_uvicorn(server: ModuleType, idle: float, freeze: bool) -> None:
    """Look after the loop that uvicorn serves from where it is not asyncio's own: uvloop's."""
    if idle <= 0:
        return
    original = server.Server.main_loop

    async def main_loop(self: Any) -> Any:
        try:
            from asyncio import BaseEventLoop, get_running_loop

            if not isinstance(get_running_loop(), BaseEventLoop):
                IdleRelease(get_running_loop(), idle, freeze)
        except Exception as error:
            say("release-memory not applied to uvicorn", error)
        return await original(self)

    server.Server.main_loop = main_loop


def release_after_jobs(worker: ModuleType, idle: float, freeze: bool) -> None:
    """RQ: release after a job where the worker runs it itself, freeze before a fork where it does not."""
    simple = worker.SimpleWorker.execute_job

    def execute_job(self: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return simple(self, *arguments, **named)
        finally:
            _quietly(release)

    worker.SimpleWorker.execute_job = execute_job
    if not freeze:
        return
    forking = worker.Worker.fork_work_horse

    def fork_work_horse(self: Any, *arguments: Any, **named: Any) -> Any:
        _quietly(freeze_once)
        return forking(self, *arguments, **named)

    worker.Worker.fork_work_horse = fork_work_horse


def freeze_once() -> None:
    """Put all objects where no collection touches them; garbage goes first, so that it is not kept for ever."""
    global _frozen
    if not _frozen:
        gc.collect()
        gc.freeze()
        _frozen = True


def _quietly(action: Callable[[], None]) -> None:
    try:
        action()
    except Exception as error:
        say("release-memory", error)
