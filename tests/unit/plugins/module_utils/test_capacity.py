# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import capacity, sizing
from ansible_collections.smallhost.headroom.plugins.module_utils.history import CONTAINER, USERS, Sample

MIB = 1024 * 1024
STEP = 600


def recorded(hours=24, most_users=20, base=60, each=2.0):
    """The bot grows with its users, the store does not; ten-minute samples."""
    found = []
    for index in range(hours * 6):
        at, users = index * STEP, 1 + index % most_users
        found.append(Sample(at, STEP, USERS, "users", {"users_5m": float(users)}))
        for service, size in (("bot", base + each * users), ("store", 8)):
            values = {"span": STEP, "working_set": size * MIB, "cpu": 60.0}
            found.append(Sample(at, STEP, CONTAINER, f"deploy/{service}/deploy-{service}-1", values))
    return found


def row(service, limit):
    return {"service": service, "running": True, "limit": limit}


def budget(total=1000):
    return sizing.Budget(total * MIB, 200 * MIB, 0, 0)


ROWS = [row("bot", None), row("store", 32 * MIB)]


def test_each_service_gets_a_limit_a_reservation_and_a_projection():
    bot, store = capacity.recommendations(recorded(), "deploy", 50, ROWS)
    assert (bot["service"], bot["containers"], bot["samples"], bot["current_limit"]) == ("bot", 1, 144, None)
    assert bot["limit"] == 115 * MIB
    assert bot["reservation"] < bot["limit"]
    assert not bot["low_confidence"]
    ahead = bot["projection"]
    assert ahead["per_user"] == 2 * MIB
    assert ahead["base"] == 60 * MIB
    assert ahead["in_use"] == pytest.approx(160 * MIB, rel=0.01)
    assert ahead["limit"] == 184 * MIB
    assert not ahead["low_confidence"]
    assert store["limit"] == store["current_limit"] == 32 * MIB
    assert store["keep"]


def test_a_short_record_is_low_confidence():
    (bot, _store) = capacity.recommendations(recorded(hours=2, most_users=3), "deploy", 50, ROWS)
    assert bot["low_confidence"]
    assert "12 samples" in bot["reason"]
    assert bot["projection"]["low_confidence"]


def test_another_projects_containers_are_not_this_ones():
    assert capacity.recommendations(recorded(), "other", 50, ROWS) == []


def test_old_peaks_fade_out_of_the_reservation_and_not_out_of_the_limit():
    days = recorded(hours=24 * 8, each=0.0)
    first_day = [
        Sample(one.time, one.seconds, one.kind, one.key, {**one.values, "working_set": 300 * MIB})
        if one.kind == CONTAINER and one.time < 86400
        else one
        for one in days
    ]
    bot = capacity.recommendations(first_day, "deploy", 50, ROWS)[0]
    assert bot["limit"] == 345 * MIB
    assert bot["reservation"] == 69 * MIB


def test_the_outlook_says_what_fits():
    samples = recorded()
    found = capacity.recommendations(samples, "deploy", 50, ROWS)
    ahead = capacity.outlook(found, budget(), ROWS, samples, "deploy")
    assert ahead["room"] == 832 * MIB  # 800 left, and the 32 that the store's limit takes now
    assert ahead["recommended"] == (115 + 32) * MIB
    assert ahead["projected"] == (184 + 32) * MIB
    assert ahead["recommended_fits"] and ahead["projected_fits"]
    assert ahead["users_carried"] == 317  # (832 - 32) / 1.15 = 60 + 2 x 317.8 MiB
    tight = capacity.outlook(found, budget(total=370), ROWS, samples, "deploy")
    assert tight["recommended_fits"] and not tight["projected_fits"]
    assert tight["users_carried"] < 50


def test_no_samples_are_said_to_be_missing(tmp_path):
    class Project:
        name, src = "deploy", str(tmp_path)

    found = capacity.look_back(str(tmp_path / "none"), Project(), 50, ROWS, budget())
    assert found["recommendations"] == []
    assert "monitoring" in found["history"]["missing"]
    assert found["outlook"]["users_carried"] is None


def test_the_mount_point_of_a_folder(tmp_path):
    found = capacity.mount_point(str(tmp_path))
    assert os.path.ismount(found)
    assert os.stat(found).st_dev == os.stat(tmp_path).st_dev
