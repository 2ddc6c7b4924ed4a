# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files a cleanup chooses: ages, the disk's marks, hard links."""

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.media import rules
from ansible_collections.smallhost.headroom.plugins.module_utils.media.cleanup import readable
from ansible_collections.smallhost.headroom.plugins.module_utils.media.rules import Disk, File, Rule

DAY = 86400
NOW = 1_000 * DAY * rules.NANO
EMPTY = Disk(used=10, available=90)


def file(name, days, size=100, inode=None, links=1, changed=None):
    modified = NOW - int(days * DAY) * rules.NANO
    then = modified if changed is None else NOW - int(changed * DAY) * rules.NANO
    return File((), name, 1, inode or abs(hash(name)), links, size, size, modified, then)


def names(found):
    return [(entry.name, reason) for entry, reason in found]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("14d", 14 * DAY),
        ("36h", 36 * 3600),
        ("1d12h", 36 * 3600),
        ("90", 90),
        (90, 90),
        ("2w", 14 * DAY),
        ("30M", 1800),
    ],
)
def test_ages(text, seconds):
    assert rules.parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "14 days", "-1d", "1.5d", None, "1d 2h"])
def test_what_is_no_age(text):
    with pytest.raises(ValueError, match="is not an age"):
        rules.parse_age(text)


@pytest.mark.parametrize(("text", "share"), [("85%", 0.85), ("85", 0.85), (85, 0.85), ("12.5 %", 0.125), ("100%", 1.0)])
def test_shares(text, share):
    assert rules.parse_share(text) == share


@pytest.mark.parametrize("text", ["0%", "101%", "nan", "-5", "", "full"])
def test_what_is_no_share(text):
    with pytest.raises(ValueError, match="is not a share"):
        rules.parse_share(text)


@pytest.mark.parametrize(
    "entry",
    [{}, {"disk_high": "80%"}, {"disk_low": "80%", "max_age": "1d"}, {"disk_high": "70%", "disk_low": "70%"}],
)
def test_rules_that_contradict_themselves(entry):
    with pytest.raises(ValueError, match=r"^/media: "):
        Rule.read({"path": "/media", **entry})


def test_age_goes_by_the_newer_of_writing_and_change():
    files = [file("old", 20), file("moved here yesterday", 20, changed=1), file("new", 2), file("at the mark", 14)]
    assert names(rules.chosen(files, Rule(14 * DAY, 0), NOW, EMPTY)) == [("old", "age")]


def test_what_is_newer_than_keep_stays_whatever_the_age_says():
    files = [file("one", 1 / 24), file("two", 3 / 24)]
    assert names(rules.chosen(files, Rule(60, 2 * 3600), NOW, EMPTY)) == [("two", "age")]


def test_age_at_which_a_file_goes_is_the_longer_of_the_two():
    assert Rule.read({"path": "/media", "max_age": "30m", "keep_newer": "1h"}).aged == 3600
    assert Rule.read({"path": "/media", "max_age": "1d", "keep_newer": "1h"}).aged == DAY
    assert Rule.read({"path": "/media", "disk_high": "85%", "disk_low": "75%"}).aged is None


def test_file_from_the_future_is_new():
    assert rules.chosen([file("odd", -3)], Rule(0, 0), NOW, EMPTY) == []


def test_what_is_in_use_stays():
    files = [file("held", 20, inode=7), file("free", 20, inode=8)]
    assert names(rules.chosen(files, Rule(14 * DAY, 0), NOW, EMPTY, {(1, 7)})) == [("free", "age")]


def test_full_disk_takes_the_oldest_until_the_lower_mark():
    disk = Disk(used=900, available=100)
    files = [file("b", 3), file("a", 5), file("c", 2), file("d", 1)]
    found = rules.chosen(files, Rule(None, 0, high=0.9, low=0.65), NOW, disk)
    assert names(found) == [("a", "disk"), ("b", "disk"), ("c", "disk")]
    assert rules.freed([entry for entry, _reason in found]) >= disk.excess(0.65) == 250


def test_disk_below_the_upper_mark_takes_none():
    assert rules.chosen([file("a", 5)], Rule(None, 0, high=0.9, low=0.5), NOW, Disk(899, 101)) == []


def test_what_goes_by_age_counts_for_the_disk():
    files = [file("aged", 20, size=300), file("young", 3)]
    found = rules.chosen(files, Rule(14 * DAY, 0, high=0.9, low=0.65), NOW, Disk(900, 100))
    assert names(found) == [("aged", "age")]


def test_full_disk_spares_what_is_newer_than_keep():
    assert rules.chosen([file("a", 1 / 48)], Rule(None, 3600, high=0.5, low=0.1), NOW, Disk(900, 100)) == []


def test_name_that_frees_nothing_is_no_help_for_the_disk():
    """One of two names: the other lies outside of the folder."""
    files = [file("linked", 9, inode=5, links=2, size=500), file("a", 5), file("b", 4)]
    found = rules.chosen(files, Rule(None, 0, high=0.9, low=0.85), NOW, Disk(900, 100))
    assert names(found) == [("a", "disk")]


def test_all_names_of_a_file_go_together():
    files = [file("one", 9, inode=5, links=2), file("two", 9, inode=5, links=2), file("c", 1)]
    found = rules.chosen(files, Rule(None, 0, high=0.9, low=0.85), NOW, Disk(900, 100))
    assert names(found) == [("one", "disk"), ("two", "disk")]
    assert rules.freed(files) == 200
    assert rules.freed(files[1:]) == 100


def test_paths_are_shown_as_text():
    assert readable("a/\udcff\n\u202eb/\u0444.jpg") == "a/\\xff\\n\\u202eb/\u0444.jpg"
