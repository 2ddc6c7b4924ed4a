# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which allocators a process could use, and which of those tried is kept."""

from __future__ import annotations

import os
import platform

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import allocators
from ansible_collections.smallhost.headroom.plugins.module_utils.allocators import Process

MIB = 1024**2
NEEDS = (2, 34)


def process(**more):
    usual = {"glibc": (2, 36), "python": 11, "has_libstdcxx": True, "sees_site": True, "environment": {}}
    return Process(**{**usual, **more})


def values(entries):
    return {entry["name"]: entry.get("value") for entry in entries}


@pytest.mark.parametrize(
    ("seen", "needs", "able"),
    [
        (process(), NEEDS, {"arenas", "jemalloc"}),
        (process(python=13), NEEDS, {"arenas", "jemalloc", "mimalloc"}),
        (process(glibc=None, python=13), NEEDS, {"mimalloc"}),  # musl
        (process(glibc=(2, 31)), NEEDS, {"arenas"}),
        (process(), None, {"arenas"}),
        (process(has_libstdcxx=False), NEEDS, {"arenas"}),
        (process(sees_site=False), NEEDS, {"arenas"}),
        (process(environment={"MALLOC_ARENA_MAX": "2"}), NEEDS, {"jemalloc"}),
        (process(environment={"LD_PRELOAD": "/usr/lib/libtcmalloc.so.4"}), NEEDS, {"arenas"}),
        (process(python=None, glibc=None), NEEDS, set()),
    ],
)
def test_what_a_process_could_use(seen, needs, able):
    assert set(allocators.candidates(seen, needs)) == {"none", *able}


def test_what_is_preloaded_already_stays():
    found = allocators.candidates(process(environment={"LD_PRELOAD": "/lib/trace.so"}), NEEDS)
    assert values(found["jemalloc"])["LD_PRELOAD"] == f"{allocators.JEMALLOC_IN_CONTAINER}:/lib/trace.so"
    assert {values(found[name])["LD_PRELOAD"] for name in ("none", "arenas")} == {"/lib/trace.so"}


def test_each_candidate_takes_the_others_out():
    found = allocators.candidates(process(python=13), NEEDS)
    names = {"MALLOC_ARENA_MAX", "LD_PRELOAD", "MALLOC_CONF", "PYTHONMALLOC", "HEADROOM_ALLOCATOR"}
    assert all(set(values(entries)) == names for entries in found.values())
    assert {name for name, value in values(found["none"]).items() if value is not None} == set()
    assert {name for name, value in values(found["arenas"]).items() if value is not None} == {
        "MALLOC_ARENA_MAX",
        "HEADROOM_ALLOCATOR",
    }


@pytest.mark.parametrize("allocator", ["arenas", "jemalloc", "mimalloc"])
def test_what_an_earlier_trial_has_set_is_known_as_ours(allocator):
    theirs = {"LD_PRELOAD": "/lib/trace.so"}
    first = allocators.candidates(process(python=13, environment=theirs), NEEDS)
    running = {**theirs, **{name: value for name, value in values(first[allocator]).items() if value is not None}}
    assert allocators.candidates(process(python=13, environment=running), NEEDS) == first


def test_variable_of_the_operators_is_never_named():
    found = allocators.candidates(process(environment={"MALLOC_ARENA_MAX": "2"}), NEEDS)
    assert all("MALLOC_ARENA_MAX" not in values(entries) for entries in found.values())


def window(candidate, well=True, **sizes):
    return {"candidate": candidate, "well": well, "samples": [{name: size * MIB for name, size in sizes.items()}] * 3}


@pytest.mark.parametrize(
    ("windows", "chosen"),
    [
        ([window("none", api=100), window("arenas", api=91), window("none", api=100)], "none"),
        ([window("none", api=100), window("arenas", api=90), window("none", api=100)], "arenas"),
        # The load fell meanwhile: the last look without one is as small.
        ([window("none", api=100), window("arenas", api=80), window("none", api=81)], "none"),
        (
            [window("none", api=100), window("arenas", api=85), window("jemalloc", api=60), window("none", api=100)],
            "jemalloc",
        ),
        ([window("none", api=100), window("jemalloc", well=False, api=50), window("none", api=100)], "none"),
        ([window("none", api=8), window("arenas", api=7.1), window("none", api=8)], "none"),  # less than 1 MiB
        ([window("none", api=0), window("arenas", api=0)], "none"),
        ([window("arenas", api=50)], "none"),  # nothing to compare with
    ],
)
def test_winner_needs_a_tenth(windows, chosen):
    assert allocators.choose(windows, {})["api"].allocator == chosen


def test_choice_of_an_earlier_trial_stays_unless_another_is_better_by_a_tenth():
    near = [window("none", api=100), window("arenas", api=80), window("jemalloc", api=75), window("none", api=100)]
    far = [window("none", api=100), window("arenas", api=80), window("jemalloc", api=60), window("none", api=100)]
    assert allocators.choose(near, {"api": "arenas"})["api"].allocator == "arenas"
    assert allocators.choose(near, {})["api"].allocator == "jemalloc"
    assert allocators.choose(far, {"api": "arenas"})["api"].allocator == "jemalloc"


def test_services_are_judged_apart():
    windows = [window("none", api=100, bot=60), window("arenas", api=80, bot=59), window("none", api=100, bot=60)]
    found = allocators.choose(windows, {})
    assert {name: choice.allocator for name, choice in found.items()} == {"api": "arenas", "bot": "none"}
    assert found["api"].saved == pytest.approx(0.2)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this Python uses another C library")
def test_this_process_is_seen_as_it_is():
    seen = allocators.look(os.getpid())
    assert seen.glibc == tuple(int(part) for part in platform.libc_ver()[1].split("."))
    assert seen.python == int(platform.python_version_tuple()[1])
    assert seen.environment["PATH"] == os.environ["PATH"]


def test_version_that_a_library_needs():
    assert allocators.glibc_needed(b"x\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0") == (2, 34)
