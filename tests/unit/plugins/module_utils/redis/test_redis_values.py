# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import values as redis_values


@pytest.mark.parametrize(
    "name, one, other",
    [
        ("maxmemory", "2GB", "2147483648"),
        ("maxmemory", "2gb", "2147483648"),
        ("maxmemory", "1m", "1000000"),
        ("repl-backlog-size", "1mb", "1048576"),
        ("maxmemory-clients", "5%", "5%"),
        ("maxmemory-policy", "NoEviction", "noeviction"),
        ("lazyfree-lazy-eviction", "YES", "yes"),
        ("timeout", "0300", "300"),
        ("save", "900 1  300 10", "900 1 300 10"),
        ("save", "", ""),
        ("notify-keyspace-events", "KEA", "AKE"),
        ("notify-keyspace-events", "KEg$lshzxetd", "AKE"),
        ("oom-score-adj-values", "0 200 800", "0 200 800"),
        ("client-output-buffer-limit", "pubsub 32mb 8mb 60",
         "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
        ("client-output-buffer-limit", "replica 256mb 64mb 60",
         "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
    ],
)  # fmt: skip
def test_the_same(name, one, other):
    assert redis_values.equal(name, one, other)


@pytest.mark.parametrize(
    "name, one, other",
    [
        ("maxmemory", "1m", "1048576"),
        ("maxmemory", "0", "1"),
        ("maxmemory-clients", "5%", "5"),
        ("save", "900 1", "900 1 300 10"),
        ("save", "", "900 1"),
        ("save", "300 10 900 1", "900 1 300 10"),
        ("maxmemory-policy", "allkeys-lru", "allkeys-lfu"),
        ("dbfilename", "A.rdb", "a.rdb"),
        ("requirepass", "Hush", "hush"),
        ("masterauth", "007", "7"),
        ("client-output-buffer-limit", "pubsub 32mb 8mb 61", "normal 0 0 0 pubsub 33554432 8388608 60"),
    ],
)
def test_not_the_same(name, one, other):
    assert not redis_values.equal(name, one, other)


def test_yaml_made_a_boolean_of_it():
    assert (redis_values.text_of(True), redis_values.text_of(False)) == ("yes", "no")
    assert (redis_values.text_of(10), redis_values.text_of("yes")) == ("10", "yes")


def test_passwords_are_not_shown():
    settings = [
        {"name": "RequirePass", "value": "hush"},
        {"name": "masterauth", "value": ""},
        {"name": "a", "value": 1},
    ]
    assert redis_values.secrets(settings) == {"hush"}
    assert redis_values.shown({"requirepass": "hush", "masterauth": "", "timeout": "0"}) == {
        "requirepass": "********",
        "masterauth": "",
        "timeout": "0",
    }


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("maxmemory", "96mb", [["maxmemory", "96mb"]]),
        ("save", "900 1 300 10", [["save", "900", "1"], ["save", "300", "10"]]),
        ("save", "", [["save", ""]]),
        ("client-output-buffer-limit", "pubsub 1 2 3", [["client-output-buffer-limit", "pubsub", "1", "2", "3"]]),
    ],
)
def test_lines(name, value, expected):
    assert redis_values.lines(name, value) == expected
