# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import sizing, units
from ansible_collections.smallhost.headroom.plugins.module_utils.cgroup import Memory

MIB = 1024 * 1024


def memory(**figures):
    zero = dict.fromkeys(Memory.__dataclass_fields__, 0)
    return Memory(**{**zero, "limit": None, "swap_limit": None, "reservation": None, "peak": None, **figures})


@pytest.mark.parametrize(
    ("figures", "used"),
    [
        ({"working_set": 50}, 50),
        ({"working_set": 50, "anon": 30, "shared": 20, "kernel": 10}, 60),
        ({"working_set": 70, "anon": 30, "shared": 20, "kernel": 10}, 70),
    ],
)
def test_what_a_container_cannot_do_without(figures, used):
    assert sizing.in_use(memory(**figures)) == used


def test_the_need_has_a_tenth_on_top_in_whole_mebibytes():
    assert sizing.needed(100 * MIB) == 110 * MIB
    assert sizing.needed(100 * MIB + 1) == 111 * MIB
    assert sizing.needed(10 * MIB) == 11 * MIB
    assert sizing.needed(0) == 0


def fit(mode, need, current=None, fitted=False, target=100 * MIB):
    return sizing.fit(target, need, current, mode, fitted)


def test_refuse_takes_the_target_or_nothing():
    assert fit("refuse", 90 * MIB).limit == 100 * MIB
    assert fit("refuse", None).limit == 100 * MIB
    with pytest.raises(sizing.DoesNotFit):
        fit("refuse", 101 * MIB)


def test_what_is_in_place_already_is_never_refused():
    assert fit("refuse", 150 * MIB, current=100 * MIB).target_met


def test_force_takes_the_target():
    assert fit("force", 500 * MIB) == sizing.Fit(100 * MIB, 500 * MIB, True, False)


def test_raise_takes_what_is_needed_and_says_so():
    assert fit("raise", 130 * MIB) == sizing.Fit(130 * MIB, 130 * MIB, False, True)
    assert fit("raise", 80 * MIB) == sizing.Fit(100 * MIB, 80 * MIB, True, False)


@pytest.mark.parametrize("use", range(90, 111))
def test_a_fitted_limit_stays_while_the_use_wanders_by_a_tenth(use):
    first = fit("raise", sizing.needed(150 * MIB))
    again = fit("raise", sizing.needed(150 * MIB * use // 100), current=first.limit, fitted=True)
    assert again.limit == first.limit
    assert not again.target_met


@pytest.mark.parametrize("use", range(90, 111))
def test_a_met_target_stays_while_the_use_wanders_about_it(use):
    again = fit("raise", sizing.needed(90 * MIB * use // 100), current=100 * MIB)
    assert (again.limit, again.target_met) == (100 * MIB, True)


def test_the_ratchet_comes_down_to_the_need_and_to_the_target_never_below():
    assert fit("raise", 120 * MIB, current=200 * MIB, fitted=True).limit == 120 * MIB
    assert fit("raise", 20 * MIB, current=200 * MIB, fitted=True) == sizing.Fit(100 * MIB, 20 * MIB, True, False)


def test_a_fitted_limit_stays_where_nothing_runs_to_be_measured():
    assert fit("raise", None, current=180 * MIB, fitted=True) == sizing.Fit(180 * MIB, None, False, True)
    assert fit("raise", None, current=180 * MIB) == sizing.Fit(100 * MIB, None, True, False)
    assert fit("refuse", None, current=180 * MIB, fitted=True).limit == 100 * MIB


def test_a_grown_need_raises_a_fitted_limit():
    assert fit("raise", 250 * MIB, current=200 * MIB, fitted=True).limit == 250 * MIB


def test_a_new_target_is_taken_at_once_although_the_old_limit_is_near():
    assert fit("raise", 98 * MIB, current=105 * MIB, fitted=False).limit == 100 * MIB


# The host


def share(limit, used=0, reservation=None):
    return sizing.Share("x", limit, reservation, used)


def test_the_reserve_is_what_runs_outside_of_limited_containers_and_room():
    budget = sizing.budget("auto", 2900 * MIB, 800 * MIB, [share(200 * MIB, 150 * MIB), share(None, 50 * MIB)])
    assert budget.reserve == pytest.approx(650 * MIB * 1.15 + 100 * MIB, abs=1)
    assert budget.limits == 200 * MIB
    assert budget.left == 2900 * MIB - budget.reserve - 200 * MIB


@pytest.mark.parametrize(("setting", "reserve"), [("512M", 512 * MIB), ("25%", 725 * MIB), ("0", 0)])
def test_a_given_reserve(setting, reserve):
    assert sizing.budget(setting, 2900 * MIB, 10**12, []).reserve == reserve


def test_a_wrong_reserve():
    with pytest.raises(units.SizeError):
        sizing.budget("much", 1, 1, [])


def test_over_budget_tells_figures():
    fits = sizing.budget("0", 1000 * MIB, 0, [share(1000 * MIB)])
    assert sizing.over_budget(fits) is None
    over = sizing.budget("100M", 1000 * MIB, 0, [share(600 * MIB), share(500 * MIB)])
    assert sizing.over_budget(over) == (
        "the limits of all containers add up to 1.1 GB, but the host has 900.0 MB for them "
        "(1000.0 MB less a reserve of 100.0 MB): 200.0 MB too much"
    )


def test_reservations_may_take_four_fifths():
    fits = sizing.budget("0", 1000 * MIB, 0, [share(900 * MIB, 0, 800 * MIB)])
    assert sizing.over_budget(fits) is None
    over = sizing.budget("0", 1000 * MIB, 0, [share(900 * MIB, 0, 801 * MIB)])
    assert "more than 80% of the 1000.0 MB" in sizing.over_budget(over)


DAY = 86400


def recommend(largest=100, typical=80, samples=5760, seconds=DAY, kills=0, limit=None):
    return sizing.recommend(
        largest * MIB, typical * MIB, samples, seconds, kills, None if limit is None else limit * MIB
    )


def test_a_recorded_limit_is_the_largest_use_and_fifteen_percent():
    found = recommend()
    assert (found.limit, found.reservation) == (115 * MIB, 92 * MIB)
    assert not found.keep
    assert not found.low_confidence


def test_an_idle_container_gets_no_limit_that_kills_it():
    found = recommend(largest=5, typical=4)
    assert found.limit == sizing.SMALLEST_LIMIT
    assert found.reservation == 5 * MIB


@pytest.mark.parametrize(("limit", "kept"), [(115, True), (125, True), (106, True), (130, False), (100, False)])
def test_a_limit_within_a_tenth_is_left_alone(limit, kept):
    found = recommend(limit=limit)
    assert found.keep == kept
    assert found.limit == (limit if kept else 115) * MIB


def test_after_a_kill_the_limit_grows_by_a_fifth_and_at_least_by_100_mib():
    assert recommend(kills=1, limit=100).limit == 200 * MIB
    assert recommend(largest=900, kills=3, limit=1000).limit == 1200 * MIB
    # It was killed although nothing near its limit was seen between two samples.
    assert not recommend(kills=1, limit=115).keep


def test_a_reservation_never_exceeds_the_limit():
    found = recommend(largest=100, typical=100, limit=105)
    assert found.reservation <= found.limit == 105 * MIB


@pytest.mark.parametrize(("samples", "seconds"), [(99, DAY), (5000, 3 * 3600 - 1), (0, 0)])
def test_too_few_samples_are_said_to_be_too_few(samples, seconds):
    assert str(samples) in recommend(samples=samples, seconds=seconds).low_confidence
