# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import recorded
from ansible_collections.smallhost.headroom.plugins.module_utils.history import Sample
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal

MIB = 1024 * 1024
NOON = 1_795_348_800


def container(time: int, name: str, mib: int, limit: int = 0, seconds: int = 60) -> Sample:
    values = {"working_set": mib * MIB, **({"limit": limit * MIB} if limit else {})}
    return Sample(time, seconds, "c", name, values)


def test_containers_of_a_service_are_added_up_and_the_peak_of_a_step_stays():
    samples = [
        container(NOON, "deploy/api/deploy-api-1", 40, 100),
        container(NOON, "deploy/api/deploy-api-2", 30, 100),
        container(NOON + 60, "deploy/api/deploy-api-1", 90, 100),
        container(NOON + 120, "deploy/api/deploy-api-1", 10),
        container(NOON, "other/api/other-api-1", 999),
    ]
    (curve,) = recorded.memory_over_time(samples, "deploy", points=2)
    assert curve["service"] == "api"
    assert curve["step"] == 120
    assert curve["points"] == [[NOON, 90 * MIB, 100 * MIB], [NOON + 120, 10 * MIB, None]]


@pytest.mark.parametrize("points", [1, 7, 200])
def test_a_curve_has_no_more_points_than_asked_for(points):
    samples = [container(NOON + 60 * index, "deploy/bot/deploy-bot-1", index) for index in range(1000)]
    (curve,) = recorded.memory_over_time(samples, "deploy", points)
    assert len(curve["points"]) <= points + 1
    assert max(used for _time, used, _limit in curve["points"]) == 999 * MIB


def test_answers_are_counted_and_averaged():
    values = {"probes": 4.0, "probe_errors": 1.0, "probe": 0.1, "probe_max": 0.05}
    samples = [Sample(NOON, 60, "s", "api", values), Sample(NOON + 60, 60, "s", "api", values)]
    assert recorded.answers(samples) == [
        {"service": "api", "probes": 8, "errors": 2, "mean_ms": 25.0, "worst_ms": 50.0},
    ]


# The journal


def test_changes_name_what_was_changed_and_never_what_stood_there(tmp_path):
    path = tmp_path / "compose.yml"
    path.write_text("services: {api: {environment: {TOKEN: hunter2}}}\n")
    journal = Journal("deploy", str(tmp_path / "state"))
    with journal.locked():
        journal.remember("stage1.item02", "live api", {"secret": "hunter2"})
        journal.write_file("stage1.item01", str(path), b"services: {}\n")
        journal.write_file("stage1.item02", str(path), b"services: {a: {}}\n")
    found = recorded.changes([("deploy", *Journal("deploy", str(tmp_path / "state")).read_only().held())])
    assert found == [
        {"owner": "stage1.item01", "scope": "deploy", "values": [], "files": [str(path)]},
        {"owner": "stage1.item02", "scope": "deploy", "values": ["live api"], "files": [str(path)]},
    ]
    assert "hunter2" not in str(found)
