# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong while stage 1 settles: it is seen, named, and the stage is taken back to the byte.

Some faults are made by the stage itself (an operator who asks for too little); the others are done to the stack the
moment the watch begins. About two minutes each.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from conftest import differences, look, runs, services, users

from sandbox import playbook, ssh
from sandbox.stack import TARGET
from sandbox.stack.deploy import wait_until_healthy

GUARD_SECONDS = 60
WATCH = "TASK [smallhost.headroom.rollout : Watch the stack]"
REDIS = "docker exec imagebot-redis redis-cli"
BUSY = "local n = 0 for i = 1, 20000000 do n = n + i end return n"


@dataclass
class Fault:
    """`variables`: what makes the stage hurt; `inject`, `mend`: shell commands on the host; `says`: in the message."""

    says: list[str]
    variables: dict[str, Any] = field(default_factory=lambda: {"headroom_services": services()})
    inject: str = ""
    mend: str = ""
    mix: str = "everyday"


FAULTS = {
    # Above what the worker needs while it waits, below what a job needs: Docker goes on calling the container well.
    # Nobody asks for pictures before, because cgroup v1 refuses a limit below what is in use (v2 would kill at once).
    "killed_work_horse": Fault(
        ["The kernel killed", "worker-image", "limit is 70.0 MB"],
        {
            "headroom_limit_fit": "force",
            "headroom_services": services(bot={"memory": "500M"}, api={"memory": "500M"}, worker={"memory": "70M"}),
        },
        inject="for n in 1 2 3; do curl -fsS -H 'Content-Type: application/json' "
        '-d \'{"chat_id": 1, "prompt": "a quiet harbour"}\' http://127.0.0.1:8000/api/jobs; done',
        mix="talk",
    ),
    "unhealthy_api": Fault(
        ["api", "unhealthy"],
        inject="docker exec --user 0 imagebot-api sh -c 'chmod 0 $(command -v curl)'",
        mend="docker exec --user 0 imagebot-api sh -c 'chmod 755 /usr/bin/curl'",
    ),
    # Its Redis is busy with scripts of some 200 ms, so each answer that asks Redis waits.
    "slow_api": Fault(
        ["ervice api answers", "times as slowly as before"],
        inject=f"(timeout 100 {REDIS} -r 10000 eval '{BUSY}' 0 > /dev/null 2>&1 &)",
        mend="pkill -f 'r 1000[0]'",
        variables={"headroom_services": services(probe=True)},
    ),
    "stopped_worker": Fault(
        ["worker-image"], inject="docker stop imagebot-worker-image", mend="docker start imagebot-worker-image"
    ),
    "full_redis": Fault(
        ["Redis", "refuse"], inject=f"{REDIS} config set maxmemory 1mb", mend=f"{REDIS} config set maxmemory 512mb"
    ),
}


def stage(instance, folder, variables: dict[str, Any], at_watch: Callable[[], None]) -> tuple[int, str]:
    """Run stage 1 and call `at_watch` when the watch after the change has begun; the exit code and the output."""
    variables = {"headroom_guard_seconds": GUARD_SECONDS, **variables}
    with (folder / "stage1.log").open("w+") as log:
        running = subprocess.Popen(playbook.argv(instance, "stage1", variables), cwd=folder, stdout=log, stderr=log)
        waiting = True
        while running.poll() is None:
            time.sleep(0.5)
            if waiting and WATCH in (folder / "stage1.log").read_text():
                waiting = False
                time.sleep(3)  # a guard that has not looked yet has nothing to compare with
                at_watch()
        log.seek(0)
        return running.returncode, log.read()


def take_back(instance, folder) -> None:
    done = playbook.run(instance, "rollback", folder, {"stage": 1})
    assert done.returncode == 0, done.stdout


@pytest.fixture(autouse=True)
def as_it_was(instance, tmp_path):
    """Whatever a test leaves behind, the next one begins with the stack as it was found."""
    yield
    if any(run["outcome"] != "undone" for run in runs(instance)[-1:]):
        take_back(instance, tmp_path)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_while_the_stage_settles(instance, tmp_path, name):
    fault = FAULTS[name]
    before = look(instance)
    with users(instance, tmp_path, fault.mix):
        time.sleep(5)
        code, output = stage(
            instance, tmp_path, fault.variables, lambda: fault.inject and ssh.execute(instance, fault.inject)
        )
        if fault.mend:
            ssh.execute(instance, f"{fault.mend} || true")
        wait_until_healthy(instance)
    assert code == 2, output
    message = playbook.failures(output)[-1]
    print(message)
    assert "was taken back" in message
    for words in fault.says:
        assert words in message
    assert runs(instance)[-1]["outcome"] == "undone"
    assert differences(before, instance) == []
    assert ssh.execute(instance, "ls /var/lib/headroom/*/undo.json 2> /dev/null || true") == ""


def test_without_a_fault_it_passes(instance, tmp_path):
    with users(instance, tmp_path):
        time.sleep(5)
        code, output = stage(instance, tmp_path, {}, lambda: None)
    assert code == 0, output
    assert runs(instance)[-1]["outcome"] == "passed", output


def test_nobody_there_is_inconclusive_and_stays(instance, tmp_path):
    before = look(instance)
    code, output = stage(instance, tmp_path, {}, lambda: None)
    assert code == 0, output
    assert runs(instance)[-1]["outcome"] == "inconclusive"
    assert "stage1_quick_wins: inconclusive." in output
    assert differences(before, instance) != []


@pytest.fixture
def api_that_is_well_once(instance):
    """An API whose health needs a file in its container: the restarted one has none."""
    compose = f"{TARGET}/deploy/docker-compose.prod.yml"
    up = f"docker compose -f {compose} up --detach --no-build --no-deps api"
    once = '["CMD-SHELL", "test -e /tmp/first \\&\\& curl -f http://localhost:8000/health"]'
    touch = "docker exec --user 0 imagebot-api touch /tmp/first"
    ssh.execute(instance, f"cp -p {compose} /root/compose.before; sed -i '/curl/s#test:.*#test: {once}#' {compose}")
    ssh.execute(instance, f"{up}; {touch}")
    wait_until_healthy(instance)
    yield
    ssh.execute(instance, f"mv /root/compose.before {compose}; {up}")
    wait_until_healthy(instance)


def test_a_service_that_does_not_come_back_takes_the_stage_back(instance, tmp_path, api_that_is_well_once):
    before = look(instance)
    # As with -e on the command line, which gives texts, and which nothing overrides.
    given = {"rollout_settle_seconds": "45", "headroom_state": "present"}
    code, output = stage(instance, tmp_path, given, lambda: None)
    assert code == 2, output
    message = playbook.failures(output)[-1]
    print(message)
    assert "was taken back" in message and "Still not well: api" in message
    assert "api was unhealthy 45 seconds after its restart" in message
    assert runs(instance)[-1]["outcome"] == "undone"
    assert differences(before, instance) == []
