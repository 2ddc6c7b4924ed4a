# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The number of jobs at once from run to run, with restarts between them. Samples are files as the sampler's."""

from __future__ import annotations

import time
import types

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import docker_engine
from ansible_collections.smallhost.headroom.plugins.module_utils.worker import task as worker_task

MB = 1024**2
MINUTE, HOUR = 60, 3600
NOW = 1_795_344_000


class Running(docker_engine.Container):
    """A container that the kernel has figures of; `peak` in MB since it was started."""

    def memory(self):
        peak = self.data["peak"]
        use = {"working_set": 34 * MB, "anon": 34 * MB, "shared": 0, "kernel": 0, "limit": None}
        return types.SimpleNamespace(**use, peak=peak and peak * MB)


class Host:
    """One worker of 34 MB at rest; jobs take `per_job` MB, and as many run at once as the container was made with."""

    def __init__(self, folder, jobs, per_job, monkeypatch, limit=400, record=True, peaks=True):
        self.folder, self.per_job, self.limit, self.record, self.peaks = folder, per_job, limit, record, peaks
        self.jobs, self.now, self.container = jobs, NOW, None
        monkeypatch.setattr(time, "time", lambda: self.now)

    def start(self):
        """Made with what is in the file, and idle at first."""
        state = {"Running": True, "StartedAt": time.strftime("%Y-%m-%dT%H:%M:%S.5Z", time.gmtime(self.now))}
        labels = {"com.docker.compose.service": "worker"}
        args = ["worker-pool", "-n", str(self.jobs), "img"]
        data = {"Name": "/worker-1", "Path": "rq", "Args": args, "State": state, "Config": {"Labels": labels}}
        self.container = Running({**data, "ran": self.jobs, "peak": 35 if self.peaks else None})

    def work(self, seconds):
        """All jobs at once, once in five minutes; a sample in each."""
        highest = 34 + self.container.data["ran"] * self.per_job
        lines = [f"#headroom-samples 1 step=60 start={self.now}", "#c span_ms:sum working_set_kib:max"]
        lines.append("k 1 c deploy/worker/worker-1")
        for minute in range(seconds // MINUTE):
            lines.append(f"c {minute * MINUTE} 1 60000 {(34 if minute % 5 else highest) * 1024}")
        if self.record:
            (self.folder / f"{self.now}.samples").write_text("\n".join(lines) + "\n")
        self.now += seconds
        self.container.data["peak"] = highest if self.peaks else None

    def run(self, workers=None):
        """What the module makes of it; its number goes into the file."""
        command = ["rq", "worker-pool", "-n", str(self.jobs), "img"]
        config = {"services": {"worker": {"command": command, "mem_limit": str(self.limit * MB), "restart": "always"}}}
        containers = [self.container] if self.container else []
        task = types.SimpleNamespace(
            params={"history": str(self.folder)},
            engine=None,
            project=types.SimpleNamespace(name="deploy", config=lambda: config),
            containers=lambda: containers,
        )
        wanted = {"name": "worker", "workers": workers, "environment": []}
        wanted.update(dict.fromkeys(["recycle_after", "result_ttl", "longest_job"]))
        found = worker_task._look(task, wanted, containers, None)
        self.jobs = found["concurrency"]["chosen"]
        return self.jobs


@pytest.fixture
def host(tmp_path, monkeypatch):
    return lambda *words, **more: Host(tmp_path, *words, monkeypatch, **more)


@pytest.mark.parametrize("record", [True, False])
def test_a_number_that_was_lowered_to_fit_stays(host, record):
    one = host(4, 86, record=record)
    one.start()
    one.work(5 * HOUR)
    assert [one.run(), one.run()] == [3, 3]
    for _restart in range(3):
        one.start()
        assert [one.run(), one.run()] == [3, 3]
        one.work(30 * MINUTE)
        assert one.run() == 3
        one.work(5 * HOUR)
        assert one.run() == 3


@pytest.mark.parametrize("record", [True, False])
def test_a_wish_that_does_not_fit_is_not_granted_after_the_next_restart(host, record):
    one = host(1, 100, record=record)
    one.start()
    one.work(5 * HOUR)
    assert [one.run(workers=8), one.run(workers=8)] == [3, 3]
    for _restart in range(3):
        one.start()
        assert [one.run(workers=8), one.run(workers=8)] == [3, 3]
        one.work(5 * HOUR)
        assert one.run(workers=8) == 3


def test_before_it_was_measured_a_worker_gets_fewer_and_not_more(host):
    one = host(4, 50)
    one.start()
    assert [one.run(workers=8), one.run(), one.run(workers=2), one.run(workers=4)] == [4, 4, 2, 2]


def test_what_was_recorded_before_the_restart_is_not_counted(host):
    one = host(1, 30)
    one.start()
    one.work(5 * HOUR)
    one.jobs, one.per_job = 4, 200
    one.start()
    assert one.run() == 4
    one.work(5 * HOUR)
    assert one.run() == 1


def test_without_a_worker_the_wish_stands(host):
    assert host(4, 50).run(workers=8) == 8


def test_a_stopped_worker_keeps_its_number(host):
    one = host(4, 86)
    one.start()
    one.work(5 * HOUR)
    assert one.run(workers=8) == 3
    one.container.data["State"]["Running"] = False
    assert one.run(workers=8) == 3
