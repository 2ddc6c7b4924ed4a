# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json
import os

import pytest
from headroom_gateway import entry
from headroom_gateway.entry import Entry, Unreadable

LONGEST = 1 << 20
TEXT = json.dumps({"object": "chat.completion", "choices": [{"message": {"content": "A quiet river. " * 9}}]}).encode()


@pytest.mark.parametrize("body", [b"", b"x", TEXT, os.urandom(500), b"\n: \n" * 30])
@pytest.mark.parametrize("compress", [True, False])
def test_back_and_forth(body, compress):
    before = Entry(1_790_000_000, 1_790_000_600, [(b"content-type", b"a/b; c=d: e"), (b"etag", b"")], body)
    assert entry.unpack(entry.pack(before, compress=compress), LONGEST) == before


def test_what_does_not_get_smaller_is_left_alone():
    noise = os.urandom(1000)
    assert len(entry.pack(Entry(1, 2, [], noise))) <= len(noise) + 11


def test_the_dictionary_is_worth_it():
    assert len(entry.pack(Entry(1, 2, [(b"content-type", b"application/json")], TEXT))) < len(TEXT) * 0.3


def test_damage_is_noticed():
    data = entry.pack(Entry(1, 2, [], TEXT))
    for bad in (b"", data[:5], data[:9], data[:-1], b"\x09" + data[1:], data[:9] + os.urandom(50)):
        with pytest.raises(Unreadable):
            entry.unpack(bad, LONGEST)


def test_damage_that_announces_a_size_is_noticed():
    """Nobody has the memory that this frame says it needs (RFC 8878 section 3.1.1.1.4, without the magic number)."""
    with pytest.raises(Unreadable):
        entry.unpack(entry.pack(Entry(1, 2, [], TEXT))[:9] + b"\xe0" + b"\xff" * 7 + b"\x0f" + b"rest", LONGEST)


def test_a_released_dictionary_never_changes():
    """Answers in people's Redis were written with it: a better one gets a number of its own."""
    known = {entry.DICTIONARY_1: "6d50338569682e6f2eb069f5729c3fdd79a474b14f34070e82f3eb9fd0556488"}
    for version, name in entry.DICTIONARIES.items():
        data = entry.Path(entry.__file__).with_name(name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == known[version]


def test_lifetimes_are_never_longer_than_asked_for():
    assert entry.lifetime(1000, 0.1, 0.0) == 1000
    assert entry.lifetime(1000, 0.1, 0.999) == 900
    assert entry.lifetime(0.2, 0.1, 0.5) == 1


def test_age():
    assert Entry(100, 200, [], b"").age(160.9) == 60
    assert Entry(100, 200, [], b"").age(90) == 0
