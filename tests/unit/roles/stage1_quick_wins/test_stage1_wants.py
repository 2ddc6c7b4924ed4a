# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stage 1 asks its modules for."""

from __future__ import annotations

SERVICES = [
    {"role": "api", "service": "api", "memory": "150M", "workers": 1},
    {"role": "redis", "service": "redis", "memory": "128M"},
]


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
