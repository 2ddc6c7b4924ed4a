# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signs of use: what counts, and what the watch and the engine cause themselves."""

from __future__ import annotations

from ansible_collections.smallhost.headroom.plugins.module_utils.watch import traffic as watch_traffic
from ansible_collections.smallhost.headroom.plugins.module_utils.watch.rules import Thresholds

LIMITS = Thresholds()


def looks(*rows, service="api", interval=None, started="a", step=2.0):
    """A look for each row (connections, bytes)."""
    return [
        (
            step * n,
            [
                {
                    "id": "1" * 12, "service": service, "started_at": started, "cpu_seconds": 0.1 * n,
                    "connections": connections, "network_bytes": size, "check_interval": interval,
                }
            ],
        )
        for n, (connections, size) in enumerate(rows)
    ]  # fmt: skip


def probes(count, step=0.5, size=200):
    return [{"service": "api", "at": step * n, "bytes": size} for n in range(count)]


def seen(frames, answers=(), jobs=None):
    return watch_traffic.seen(frames, answers, jobs or {}, LIMITS)


def test_connections_less_probes_and_health_checks():
    frames = looks(*[(10 * n, 0) for n in range(11)])  # 100 in 20 s
    assert seen(frames)["connections"] == 100
    assert seen(frames, probes(40))["connections"] == 60
    assert seen(looks(*[(10 * n, 0) for n in range(11)], interval=2.0), probes(40))["connections"] == 50


def test_own_probes_alone_are_no_use():
    """Four connections in two seconds, each of 1.3 kB, are the watch's own."""
    result = seen(looks(*[(4 * n, 4 * n * 1300) for n in range(31)]), probes(120))
    assert (result["signs"], result["enough"]) == (0, False)
    assert "too little use to judge: 0 signs of it (0 connections, 0 jobs, 0 looks" in watch_traffic.sentence(
        result, LIMITS
    )


def test_probes_of_another_service_are_not_taken_off():
    others = [{**answer, "service": "bot"} for answer in probes(120)]
    result = seen(looks(*[(4 * n, 5000 * n) for n in range(31)]), others)
    assert (result["connections"], result["busy_looks"]) == (120, 30)


def test_a_client_that_keeps_its_connection_is_seen_by_its_bytes():
    result = seen(looks(*[(1, 5000 * n) for n in range(31)]))
    assert (result["connections"], result["busy_looks"], result["enough"]) == (0, 30, True)


def test_an_idle_bot_is_no_use():
    """A long poll of Telegram every ten seconds: 1.5 kB."""
    assert seen(looks(*[(0, 1500 * (n // 5)) for n in range(31)]))["signs"] == 0


def test_one_large_file_is_not_a_crowd():
    assert seen(looks((0, 0), (1, 30_000_000), (1, 30_000_000)))["signs"] == 2


def test_jobs_count_and_their_redis_does_not():
    frames = looks(*[(10 * n, 9000 * n) for n in range(11)], service="redis")
    result = seen(frames, jobs={"redis": (18, 2)})
    assert (result["signs"], result["jobs"], result["enough"]) == (20, 20, True)
    assert seen(frames, jobs={"redis": (19, 0)})["enough"] is False


def test_the_host_network_tells_nothing():
    assert seen(looks((None, None), (None, None)))["signs"] == 0


def test_a_container_that_started_anew_counts_from_there():
    first, second = looks((500, 10)), looks((3, 10), (33, 10), started="b")
    frames = [first[0], (2.0, second[0][1]), (4.0, second[1][1])]
    assert seen(frames)["connections"] == 30


def test_processor_time_is_reported():
    assert seen(looks((0, 0), (0, 0), (0, 0)))["cpu_seconds"] == 0.2
