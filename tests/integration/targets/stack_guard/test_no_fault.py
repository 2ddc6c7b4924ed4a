# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must not trip the guard, what it cannot tell, and what it refuses to watch."""

from __future__ import annotations

import time

from conftest import HEALTH, Users, docker


def test_quiet_stack_is_inconclusive(stack, guard):
    one = stack()
    result, _seconds = guard(one, seconds=12)
    assert result["verdict"] == "inconclusive", result
    assert result["reasons"][0].startswith("Too little use to judge: ")
    assert result["latency"]["samples"] >= 20 and result["latency"]["errors"] == 0
    assert result["evidence"]["traffic"]["signs"] < 5
    assert result["baseline"]["workers"] == {"redis": {"img_queue": 1}}
    assert abs(result["watched_seconds"] - 12) < 1.5
    assert result["changed"] is False


def test_used_stack_passes(stack, guard):
    one = stack()
    before, _seconds = guard(one, seconds=15, _ansible_check_mode=True)
    with Users(one):
        result, _seconds = guard(one, lambda: one.enqueue("quick", times=5), seconds=20, baseline=before["baseline"])
    assert result["verdict"] == "passed", result
    assert (result["reasons"], result["not_judged"]) == ([], [])
    traffic = result["evidence"]["traffic"]
    assert traffic["jobs"] == 5
    assert 60 <= traffic["connections"] <= 100  # five requests a second, probes and health checks taken off


def test_worker_in_a_long_job_is_not_missing(stack, guard):
    one = stack()
    one.enqueue("long", 60)
    one.enqueue("quick", times=2)  # these have to wait, and that is no fault
    with Users(one):
        result, _seconds = guard(one, seconds=20)
    assert result["verdict"] == "passed", result
    assert result["evidence"]["last"]["redis"]["redis"]["rq"]["waiting"] == {"img_queue": 2}


def test_worker_that_renews_itself_is_no_fault(stack, guard):
    one = stack({"done; python3": "done; exec python3", "worker-image-1; sleep 600": "worker-image-1 --max-jobs 2"})
    time.sleep(8)
    with Users(one):
        result, _seconds = guard(one, lambda: one.enqueue("quick", times=2), seconds=20)
    assert result["verdict"] == "passed", result
    assert [event["exit_code"] for event in result["evidence"]["events"] if event["action"] == "die"] == [0]


def test_evictions_from_a_cache_are_no_fault(stack, guard):
    one = stack({"noeviction": "allkeys-lfu"})
    with Users(one):
        result, _seconds = guard(one, one.fill, seconds=12, redis=[{"service": "redis", "purpose": "cache"}])
    assert result["verdict"] == "passed", result
    assert result["evidence"]["last"]["redis"]["redis"]["evicted_keys"] > 0


def test_stopped_before_the_watch(stack, guard):
    one = stack()
    docker("stop", "-t", "1", one.container("worker"), one.container("redis"))
    with Users(one):
        result, _seconds = guard(one, seconds=14)
    assert result["verdict"] == "passed", result
    assert {
        "Service redis did not run, so it was not judged.",
        "Service worker did not run, so it was not judged.",
    } <= set(result["not_judged"])
    docker("stop", "-t", "1", one.container("api"))
    quiet, _seconds = guard(one, seconds=4)
    assert quiet["verdict"] == "inconclusive", quiet


def test_ran_in_the_baseline_and_not_now(stack, guard):
    one = stack()
    before, _seconds = guard(one, seconds=3)
    docker("stop", "-t", "1", one.container("worker"))
    result, _seconds = guard(one, seconds=15, baseline=before["baseline"])
    assert result["verdict"] == "tripped", result
    assert "worker ran when the baseline was taken" in result["reasons"][0]


def test_restarted_just_before_and_still_starting(stack, guard):
    one = stack({"start_period: 3s": "start_period: 20s"})
    one.set("ill")
    one.set("start", "6")
    docker("restart", "-t", "0", one.container("api"))
    with Users(one):
        result, _seconds = guard(one, seconds=8)
        assert result["verdict"] == "inconclusive", result
        assert any("still starting" in reason for reason in result["reasons"])
        (one.state / "ill").unlink()
        well, _seconds = guard(one, seconds=15)
    assert well["verdict"] == "passed", well


def test_refusals(stack, guard, tmp_path):
    one = stack()
    absent, _seconds = guard(one, project_src=str(tmp_path / "nowhere"))
    assert absent["failed"] and "does not exist" in absent["msg"], absent
    silent, _seconds = guard(one, docker_host="unix:///run/no-such-engine.sock")
    assert silent["failed"] and "does not answer at unix:///run/no-such-engine.sock" in silent["msg"], silent
    typo, _seconds = guard(one, probes=[{"service": "apo", "url": HEALTH}])
    assert typo["failed"] and "Did you mean api?" in typo["msg"], typo
    address, _seconds = guard(one, probes=[{"service": "api", "url": "127.0.0.1:8000"}])
    assert address["failed"] and "cannot be probed" in address["msg"], address
    one.down()
    gone, _seconds = guard(one)
    assert gone["failed"] and "has no containers" in gone["msg"], gone
