# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.effects import (
    Facts,
    alarming,
    effect,
    parse_meminfo,
    read_facts,
)

MB = 1024 * 1024
HOST = {"MemTotal": 2900 * MB, "SwapTotal": 0, "Committed_AS": 1500 * MB, "SReclaimable": 80 * MB}
THP = "sys/kernel/mm/transparent_hugepage/"


def say(key, value, memory=None, live=None, cgroup_v1=False):
    return effect(f"proc/sys/vm/{key}", str(value), Facts(HOST if memory is None else memory, cgroup_v1, live or {}))


def test_meminfo():
    assert parse_meminfo("MemTotal:        2969600 kB\nHugePages_Total:       0\n") == {"MemTotal": 2900 * MB}


def test_facts_of_an_image(tmp_path):
    assert read_facts(str(tmp_path), {}) == Facts({}, False, {})


def test_swappiness_without_swap_does_nothing():
    assert say("swappiness", 10) == "no swap: swappiness has no effect on anonymous memory"
    assert say("swappiness", 10, {}) == "acts only where there is swap"


def test_swappiness_with_swap():
    memory = {**HOST, "SwapTotal": 1024 * MB}
    assert "10:190" in say("swappiness", 10, memory)
    assert "at least as readily" in say("swappiness", 150, memory)
    assert "high watermark" in say("swappiness", 0, memory)
    assert "moment it was started" in say("swappiness", 10, memory, cgroup_v1=True)


@pytest.mark.parametrize(("ratio", "alarm"), [(50, True), (90, False)])
def test_strict_overcommit_is_measured_against_what_is_committed(ratio, alarm):
    live = {"proc/sys/vm/overcommit_ratio": str(ratio), "proc/sys/vm/overcommit_kbytes": "0"}
    assert alarming(say("overcommit_memory", 2, live=live)) is alarm


def test_overcommit_ratio_counts_only_in_strict_mode():
    assert "counts only where it is 2" in say("overcommit_ratio", 80, live={"proc/sys/vm/overcommit_memory": "0"})
    assert say("overcommit_ratio", 80, live={"proc/sys/vm/overcommit_memory": "2"}) == ""


@pytest.mark.parametrize(("kb", "alarm"), [(512, True), (67584, False), (300000, True)])
def test_min_free_kbytes_is_measured_against_ram(kb, alarm):
    assert alarming(say("min_free_kbytes", kb)) is alarm


def test_min_free_kbytes_names_the_share():
    assert say("min_free_kbytes", 67584).startswith("66.0 MB (2.3% of 2.8 GB RAM)")


def test_background_not_below_the_ceiling():
    live = {"proc/sys/vm/dirty_bytes": str(16 * MB)}
    assert "half of that" in say("dirty_background_bytes", 16 * MB, live=live)
    assert "half of that" not in say("dirty_background_bytes", 8 * MB, live=live)


def test_defrag_without_huge_pages_does_nothing():
    assert "no effect" in effect(THP + "defrag", "defer", Facts(live={THP + "enabled": "never"}))
    assert "never wait" in effect(THP + "defrag", "defer", Facts(live={THP + "enabled": "madvise"}))


def test_nothing_is_claimed_about_what_is_not_known():
    assert say("admin_reserve_kbytes", 1) == ""
    assert effect("proc/sys/kernel/core_pattern", "core", Facts()) == ""


def test_words_in_capitals_alone_are_no_alarm():
    assert not alarming(say("swappiness", 10))
    assert not alarming(say("overcommit_memory", 1))
    assert not alarming(say("max_map_count", 65530))
