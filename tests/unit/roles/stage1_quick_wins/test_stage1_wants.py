# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stage 1 asks its modules for."""

from __future__ import annotations

SERVICES = [
    {"role": "api", "service": "api", "memory": "150M", "workers": 1},
    {"role": "redis", "service": "redis", "memory": "128M"},
]


def test_sizes_may_be_written_in_any_way_that_compose_and_redis_take(stage):
    sizes = ["128M", "128mb", "128MiB", "128m", 134217728]
    services = [{"role": "redis", "service": f"redis{number}", "memory": size} for number, size in enumerate(sizes)]
    services.append({"role": "redis", "service": "other", "memory": "128M", "maxmemory": 67108864})
    played = stage.play("stage1_quick_wins", check=True, headroom_services=services)
    limits = played.of("compose_limits")[0]["services"]
    assert [str(entry["memory"]) for entry in limits] == [*map(str, sizes), "128M"]
    assert {entry["memory_reservation"] for entry in limits} == {"64M"}
    assert [str(call["maxmemory"]) for call in played.of("redis_maxmemory")] == ["96mb"] * 5 + ["67108864"]


def test_a_share_from_the_command_line_is_a_number(stage):
    played = stage.play(
        "stage1_quick_wins", check=True, headroom_services=SERVICES, stage1_quick_wins_reservation_share="0.25"
    )
    assert [entry["memory_reservation"] for entry in played.of("compose_limits")[0]["services"]] == ["37M", "32M"]


def test_taken_back_is_all_that_was_changed_whatever_is_listed(stage):
    answers = {"redis_maxmemory": {"changed": True}}
    played = stage.play(
        "stage1_quick_wins", check=True, answers=answers, headroom_services=SERVICES, headroom_state="absent"
    )
    for module, key in (("compose_service", "stage1.item01"), ("compose_limits", "stage1.item02")):
        (call,) = played.of(module, undo_key=key, state="absent")
        assert call["services"] == []
    (call,) = played.of("redis_maxmemory", undo_key="stage1.item03", state="absent")
    assert "service" not in call["compose"]
    assert played.work
