# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import random

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import projection

MIB = 1024 * 1024
DAY = 86400


def points(base=90, each=2.0, noise=0.0, users=range(1, 21), rounds=10):
    chance = random.Random(1)
    return [
        (float(count), (base + each * count + chance.uniform(-noise, noise)) * MIB)
        for _round in range(rounds)
        for count in users
    ]


def test_a_clean_line_is_found_exactly():
    line = projection.fit(points())
    assert line.slope == pytest.approx(2 * MIB)
    assert line.intercept == pytest.approx(90 * MIB)
    assert line.at(50) == pytest.approx(190 * MIB)
    assert (line.levels, line.most_users) == (20, 20)


def test_a_fifth_of_wild_points_does_not_bend_it():
    wild = [(1.0, 900 * MIB)] * 20 + [(20.0, 5 * MIB)] * 20
    line = projection.fit(points(noise=2) + wild)
    assert line.slope == pytest.approx(2 * MIB, rel=0.25)


def test_what_lies_above_the_line_is_covered():
    line = projection.fit(points(noise=10))
    above = [memory for users, memory in points(noise=10) if memory > line.at(users)]
    assert len(above) <= 0.06 * 200
    assert line.above > 5 * MIB


def test_memory_that_falls_with_users_is_level():
    line = projection.fit(points(each=-1.0))
    assert line.slope == 0
    assert line.at(500) == line.at(1)


def test_one_number_of_users_makes_no_line():
    assert projection.fit([]) is None
    assert projection.fit([(5.0, 100.0), (5.0, 110.0)]) is None


def test_many_points_are_thinned_out_and_still_agree():
    many = points(noise=3, rounds=200)
    assert len(many) > projection.MOST_POINTS * 10
    line = projection.fit(many)
    assert line.slope == pytest.approx(2 * MIB, rel=0.1)
    assert line.most_users == 20


@pytest.mark.parametrize(
    ("line", "seconds", "samples", "words"),
    [
        (projection.fit(points()), DAY, 5000, ""),
        (projection.fit(points()), DAY, 50, "50 samples"),
        (projection.fit(points()), 3600, 240, "1.0 hours"),
        (projection.fit(points(users=(4, 40))), DAY, 5000, "only 2 different numbers of users"),
        (projection.fit(points(users=(1, 2, 3, 4, 5))), DAY, 5000, "more than 3 times the 5 seen"),
        (projection.fit(points(noise=60)), DAY, 5000, "do not agree"),
    ],
)
def test_samples_that_do_not_carry_it_are_named(line, seconds, samples, words):
    reason = projection.doubt(line, 50, seconds, samples)
    assert words in reason
    assert bool(words) == bool(reason)


@pytest.mark.parametrize(("room", "users"), [(5, 0), (100, 0), (149, 49), (150, 50), (9000, 8900)])
def test_how_many_users_a_host_carries(room, users):
    assert projection.carries(lambda count: 100 + count, room) == users


def test_users_that_cost_nothing_are_not_counted():
    assert projection.carries(lambda count: 100, 200) is None
