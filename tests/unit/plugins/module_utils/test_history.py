# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import history
from hypothesis import given
from hypothesis import strategies as st

MIB = 1024 * 1024
NOON = 1_800_000_000 - 1_800_000_000 % (2 * 86400)

# Nothing may be left beside files that the role copies.
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "roles/monitoring/files"))

from headroom_sampler import record  # noqa: E402
from headroom_sampler.store import Store  # noqa: E402


def taken(mib: int, users: int = 5, disk_mib: int = 10_000, **more: int) -> record.Sample:
    """One sample of a project with two API containers."""
    first = {
        "span_ms": 15000,
        "working_set_kib": mib * 1024,
        "anon_kib": 1024,
        "cpu_ms": 1500,
        "throttled_ms": 150,
        **more,
    }
    second = {"span_ms": 15000, "working_set_kib": 10 * 1024, "anon_kib": (mib - 5) * 1024, "cpu_ms": 750}
    return {
        ("c", "deploy/api/deploy-api-1"): record.values("c", first),
        ("c", "deploy/api/deploy-api-2"): record.values("c", second),
        ("c", "other/api/other-api-1"): record.values("c", {"span_ms": 15000, "working_set_kib": 999 * 1024}),
        ("c", "//by-hand"): record.values("c", {"span_ms": 15000, "working_set_kib": 999 * 1024}),
        ("d", "/"): record.values("d", {"size_kib": 20_000 * 1024, "used_kib": disk_mib * 1024}),
        ("u", "users"): record.values("u", {"users_5m": users, "users_1h": users * 2}),
    }


@pytest.fixture
def folder(tmp_path) -> str:
    return str(tmp_path / "samples")


def test_what_the_sampler_wrote_comes_back_in_bytes_and_seconds(folder):
    store = Store(folder, 15, 1 << 20)
    store.add(NOON, taken(100))
    found = history.read(folder)
    (api,) = [one for one in found if one.key == "deploy/api/deploy-api-1"]
    assert (api.time, api.seconds, api.kind) == (NOON, 15, history.CONTAINER)
    assert api.values == {
        "span": 15,
        "working_set": 100 * MIB,
        "anon": MIB,
        "cpu": 1.5,
        "throttled": pytest.approx(0.15),
    }


def test_each_moment_counts_once_and_from_the_finest_tier(folder):
    store = Store(folder, 15, 1 << 20)
    count = 0
    for at in range(0, 3 * 86400, 15):
        store.add(NOON + at, taken(100, oom_kills=1))
        count += 1
    found = history.read(folder)
    api = [one for one in found if one.key == "deploy/api/deploy-api-1"]
    assert {one.seconds for one in api} == {15, 60, 600}
    assert sum(one.seconds for one in api) == 3 * 86400
    assert sum(one.values["oom_kills"] for one in api) == count
    assert [one.time for one in api] == sorted({one.time for one in api})
    assert history.services(found, "deploy")["api"].seconds == 3 * 86400


def test_a_span_of_time(folder):
    store = Store(folder, 15, 1 << 20)
    for at in range(0, 600, 15):
        store.add(NOON + at, taken(100))
    found = history.read(folder, since=NOON + 60, until=NOON + 120)
    assert {one.time for one in found} == {NOON + 60, NOON + 75, NOON + 90, NOON + 105}


def test_nothing_recorded_is_said_with_the_way_out(tmp_path):
    with pytest.raises(history.HistoryError, match="playbook"):
        history.read(str(tmp_path / "nowhere"))
    with pytest.raises(history.HistoryError, match="no samples"):
        history.read(str(tmp_path))


def test_the_figures_of_a_service(folder):
    store = Store(folder, 15, 1 << 20)
    for at in range(0, 3000, 15):
        store.add(NOON + at, taken(100 + at // 300 * 10, oom_kills=int(at == 300), restarts=int(at == 600)))
    (api,) = history.services(history.read(folder), "deploy").values()
    assert (api.samples, api.seconds) == (200, 3000)
    assert api.working_set.p50 == 140 * MIB
    assert api.working_set.p90 == 180 * MIB
    assert api.working_set.maximum == 190 * MIB
    # The other container's anonymous memory is less than the first one's working set.
    assert api.in_use.maximum == 190 * MIB
    assert api.cpu.p50 == pytest.approx(0.05)
    assert api.cpu.maximum == pytest.approx(0.1)
    assert api.throttled_share == pytest.approx(0.005)
    assert (api.oom_kills, api.restarts) == (1, 1)


def test_users_and_memory_of_the_same_ten_minutes(folder):
    store = Store(folder, 15, 1 << 20)
    for at in range(0, 1800, 15):
        store.add(NOON + at, taken(100 + at // 600, users=at // 600))
    pairs = history.users_and_memory(history.read(folder), "deploy")
    assert list(pairs) == ["api"]
    # 100 MiB of the one container, and of the other what is anonymous: 95 MiB.
    assert pairs["api"] == [(slot, (100 + slot + 95 + slot) * MIB) for slot in range(3)]
    assert [users for users, _memory in history.users_and_memory(history.read(folder), "deploy", "1h")["api"]] == [
        0,
        2,
        4,
    ]


def disk(hours: int, growth: int, spike: int = 0) -> list[history.Sample]:
    """Hourly samples of a disk of 1000 bytes that starts half full."""
    return [
        history.Sample(
            NOON + hour * 3600,
            600,
            history.DISK,
            "/",
            {"size": 1000, "used": 500 + growth * hour + (spike if hour % 24 == 3 else 0)},
        )
        for hour in range(hours)
    ]


def test_days_until_a_disk_is_full():
    assert history.days_until_full(disk(101, 1), "/") == pytest.approx(400 / 24)
    assert history.days_until_full(disk(101, 1, spike=300), "/") == pytest.approx(400 / 24), (
        "a nightly dump is no trend"
    )
    assert history.days_until_full(disk(101, 0), "/") is None
    assert history.days_until_full(disk(101, -1), "/") is None
    assert history.days_until_full(disk(20, 1), "/") is None, "less than a day says nothing"
    assert history.days_until_full(disk(101, 1), "/data") is None


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 600)), min_size=1), st.floats(0, 1))
def test_a_percentile_is_a_value_that_so_much_of_the_time_stayed_below(pairs, share):
    found = history.percentile(pairs, share)
    total = sum(weight for _value, weight in pairs)
    assert found in {value for value, _weight in pairs}
    assert sum(weight for value, weight in pairs if value <= found) >= share * total - 1e-6
    assert sum(weight for value, weight in pairs if value < found) <= share * total + 1e-6


def test_no_percentile_of_nothing():
    with pytest.raises(ValueError, match="nothing"):
        history.percentile([], 0.5)
    assert history.spread([]) is None


def test_lines_of_the_same_step_are_folded_by_their_rules():
    text = (
        f"#headroom-samples 1 step=60 start={NOON}\n#c working_set_kib:max cpu_ms:sum limit_kib:last\n"
        "k 1 c deploy/api/a%20b\nc 0 1 10 100 5\nc 0 1 8 50 -\nc 0 1 9 1 4\n"
    )
    (one,) = history.merge(history.parse(text.encode()))
    assert one.key == "deploy/api/a b"
    assert one.values == {"working_set": 10240, "cpu": pytest.approx(0.151), "limit": 4096}


@given(st.binary(max_size=60), st.integers(0, 200))
def test_damage_costs_the_damaged_lines_only(noise, place):
    whole = (
        f"#headroom-samples 1 step=60 start={NOON}\n#d size_kib:last used_kib:max\nk 1 d /\n"
        + "".join(f"d {minute * 60} 1 100 {minute}\n" for minute in range(20))
    ).encode()
    head = whole.index(b"d 0 1")
    place = min(len(whole), head + place)
    found = history.merge(history.parse(whole[:place] + noise + whole[place:]))
    good = set(range(20))
    lost = good - {int((one.time - NOON) / 60) for one in found if one.values.get("size") == 102400}
    # What is written over is a line, or the two that the noise stands between.
    assert len(lost) <= 2


def test_a_line_that_is_still_being_written_is_left_out():
    text = (
        f"#headroom-samples 1 step=15 start={NOON}\n#d size_kib:last used_kib:max\nk 1 d /\nd 0 1 100 12\nd 15 1 100 1"
    )
    (one,) = history.merge(history.parse(text.encode()))
    assert one.time == NOON


def test_a_newer_sampler_may_have_more_columns():
    text = (
        f"#headroom-samples 1 step=15 start={NOON}\n#d size_kib:last used_kib:max inodes:max\nk 1 d /\nd 0 1 100 12 7\n"
    )
    (one,) = history.merge(history.parse(text.encode()))
    assert one.values == {"size": 102400, "used": 12288, "inodes": 7}
