# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.load import workload
from sandbox.load.workload import MIXES, Workload, Zipf, catalogue, parse_think


def requests(seed=1, user=0, count=200, **changes):
    arguments = {"exponent": 0.83, "size": 100, "mix": "everyday", "think": "exponential:30", **changes}
    return list(itertools.islice(Workload(seed, **arguments).of_user(user), count))


@given(st.integers(1, 2000), st.floats(0.0, 2.5))
def test_probabilities_fall_with_the_rank_and_add_up_to_one(size, exponent):
    zipf = Zipf(size, exponent)
    shares = [zipf.probability(rank) for rank in range(size)]
    assert sum(shares) == pytest.approx(1.0)
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(shares))


def test_ratio_of_two_ranks_is_the_power_law():
    zipf = Zipf(1000, 0.83)
    assert zipf.probability(0) / zipf.probability(99) == pytest.approx(100**0.83)


def test_draws_follow_the_probabilities():
    zipf, chance = Zipf(50, 1.0), random.Random(7)
    counts = collections.Counter(zipf.draw(chance) for _unused in range(50_000))
    for rank in (0, 1, 5, 20):
        assert counts[rank] / 50_000 == pytest.approx(zipf.probability(rank), rel=0.1)
    assert set(counts) <= set(range(50))


def test_exponent_nought_makes_all_prompts_equal():
    zipf = Zipf(4, 0.0)
    assert [zipf.probability(rank) for rank in range(4)] == pytest.approx([0.25] * 4)


def test_no_ranks_is_an_error():
    with pytest.raises(ValueError, match="at least one rank"):
        Zipf(0, 1.0)


@pytest.mark.parametrize("kind", ["text", "stream", "chat", "translate", "image"])
def test_catalogue_holds_different_prompts_in_a_fixed_order(kind):
    prompts = catalogue(kind, 500)
    assert len(set(prompts)) == 500
    assert prompts == catalogue(kind, 500)
    assert catalogue(kind, 10) == prompts[:10]


def test_the_bot_streams_exactly_the_long_texts():
    # The application decides by length (STREAM_FROM in its handlers); the load names the kinds by what it expects.
    assert max(len(prompt) for prompt in catalogue("text", 1000)) < 60
    assert min(len(prompt) for prompt in catalogue("stream", 1000)) >= 60


def test_catalogue_refuses_more_than_there_is():
    with pytest.raises(ValueError, match="only"):
        catalogue("image", 10**6)


def test_same_seed_same_requests_other_seed_others():
    assert requests(seed=3) == requests(seed=3)
    assert requests(seed=3) != requests(seed=4)
    assert requests(seed=3, user=1) != requests(seed=3, user=2)


@pytest.mark.parametrize("mix", sorted(MIXES))
def test_kinds_come_in_the_shares_of_the_mix(mix):
    counts = collections.Counter(request.kind for request in requests(count=5000, mix=mix))
    assert set(counts) == set(MIXES[mix])
    for kind, percent in MIXES[mix].items():
        assert counts[kind] / 50 == pytest.approx(percent, abs=3)


def test_every_mix_is_whole():
    assert {name: sum(mix.values()) for name, mix in MIXES.items()} == dict.fromkeys(MIXES, 100)
    assert sum(workload.API_CALLS.values()) == 100


def test_think_time_has_its_mean_and_an_end():
    times = [request.think for request in requests(count=5000, think="exponential:20")]
    assert sum(times) / len(times) == pytest.approx(20, rel=0.1)
    assert max(times) <= 200
    assert {request.think for request in requests(think="constant:2.5")} == {2.5}


@pytest.mark.parametrize("text", ["normal:3", "exponential", "constant:-1", "constant:x", ""])
def test_bad_think_times_are_refused(text):
    with pytest.raises(ValueError):
        parse_think(text)
