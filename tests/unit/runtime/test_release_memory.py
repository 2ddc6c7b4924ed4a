# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Memory goes back when a loop is idle, after a job, and before a fork nothing is left for a child's collector."""

from __future__ import annotations

import pytest
from headroom_runtime.release_memory import should_release


@pytest.mark.parametrize(
    ("used", "interval", "since", "release"),
    [
        (0.0, 20, 0.2, True),
        (5.0, 20, 9.0, True),
        (5.1, 20, 9.0, False),  # Busy now.
        (0.1, 20, 0.1, False),  # Nothing done since the last time.
    ],
)
def test_released_when_idle_after_work(used, interval, since, release):
    assert should_release(used, interval, since) is release


def test_a_loop_gives_back_what_a_burst_has_left(application):
    code = """
        import asyncio
        def resident():
            with open("/proc/self/statm") as stream:
                return int(stream.read().split()[1]) * 4096
        async def main():
            kept = [bytearray(60_000) for _number in range(3000)]
            sum(range(20_000_000))  # Work that makes a release worth it.
            full = resident()
            kept = kept[::30]
            await asyncio.sleep(1.2)
            print(round((full - resident()) / 1e6))
        asyncio.run(main())
    """
    without, _unused = application("", code)
    with_runtime, errors = application("release-memory:idle=0.4", code)
    assert int(with_runtime) >= int(without) + 100
    assert errors == ""


def test_a_loop_ends_as_ever_and_is_watched_once(application):
    said, _unused = application(
        "release-memory:idle=0.05",
        """
        import asyncio
        from headroom_runtime import release_memory
        calls = []
        release_memory.release = lambda freeze=False: calls.append(freeze)
        async def work():
            sum(range(20_000_000))
            await asyncio.sleep(0.3)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(work())
        loop.run_until_complete(asyncio.sleep(0.2))
        loop.close()
        print(calls)
        """,
    )
    assert said == "[True]\n"


def test_an_error_in_a_look_ends_the_looking_only(application):
    said, errors = application(
        "release-memory:idle=0.05",
        """
        import asyncio
        from headroom_runtime import release_memory
        def broken(*arguments):
            raise RuntimeError("injected")
        release_memory.should_release = broken
        asyncio.run(asyncio.sleep(0.3))
        print("done")
        """,
    )
    assert (said, errors.count("injected")) == ("done\n", 1)


def test_workers_of_rq(application):
    pytest.importorskip("rq")
    said, errors = application(
        "release-memory",
        """
        import gc
        from rq import worker
        from headroom_runtime import release_memory
        released = []
        release_memory.trim = lambda: released.append("trim")
        worker.SimpleWorker.prepare_execution = lambda self, job: None
        worker.SimpleWorker.perform_job = lambda self, *rest: 1 / 0
        try:
            worker.SimpleWorker.execute_job(worker.SimpleWorker.__new__(worker.SimpleWorker), None, None)
        except (ZeroDivisionError, AttributeError) as error:
            print(type(error).__name__, released)
        before = gc.get_freeze_count()  # Python 3.12 begins with some.
        release_memory.freeze_once()
        after = gc.get_freeze_count()
        more = [[] for _number in range(5000)]
        release_memory.freeze_once()
        print(after > before + 1000, gc.get_freeze_count() < after + 1000)
        """,
    )
    assert said.splitlines()[0].endswith("['trim']")
    assert said.splitlines()[1:] == ["True True"]
    assert errors == ""
