# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import room as redis_room
from ansible_collections.smallhost.headroom.plugins.module_utils.units import SizeError

MB = 1024**2
LIMIT = 128 * MB


def room(maxmemory, info=None, saving=True):
    return redis_room.room(maxmemory * MB, LIMIT, "the container redis", info or {}, saving)


@pytest.mark.parametrize(
    "maxmemory, saving, fits",
    [
        (96, True, True),
        (97, True, False),
        (115, False, True),
        (116, False, False),
        (256, True, False),
        (0, True, False),
    ],
)
def test_the_share_that_stays_free(maxmemory, saving, fits):
    assert room(maxmemory, saving=saving).fits is fits


def test_copies_that_were_seen_count_for_more():
    seen = {"rdb_last_cow_size": 10 * MB, "aof_last_cow_size": 30 * MB}
    found = room(80, seen)
    assert (found.copy_on_write, found.fits) == (45 * MB, False)
    assert found.reserve == 3 * MB + 45 * MB + int(80 * MB * 0.05)
    assert room(80, seen, saving=False).copy_on_write == 0


def test_clients_and_what_eviction_does_not_count():
    info = {"mem_clients_normal": 20 * MB, "mem_clients_slaves": 5 * MB, "mem_not_counted_for_evict": 10 * MB}
    assert room(96, info).clients == 35 * MB
    assert not room(96, info).fits


def test_fragmentation_is_measured_on_a_server_with_data():
    assert room(96, {"mem_fragmentation_ratio": 9.0, "used_memory": MB}).fragmentation == int(96 * MB * 0.05)
    assert room(80, {"mem_fragmentation_ratio": 1.5, "used_memory": 40 * MB}).fragmentation == 40 * MB
    assert room(80, {"mem_fragmentation_ratio": 0.9, "used_memory": 40 * MB}).fragmentation == 0


@pytest.mark.parametrize("info", [{}, {"rdb_last_cow_size": 20 * MB}, {"mem_clients_normal": 40 * MB}])
def test_what_the_message_recommends_fits(info):
    refused = room(120, info)
    assert not refused.fits
    assert room(refused.most // MB, info).fits
    message = redis_room.too_little(refused, True)
    for words in ("120.0 MB leaves too little of the 128.0 MB", "the container redis", f"{refused.most // MB}.0 MB"):
        assert words in message


@pytest.mark.parametrize(
    "text, limit, expected",
    [("96mb", LIMIT, 96 * MB), ("75%", LIMIT, 96 * MB), ("1m", LIMIT, 10**6), ("75%", 2900 * MB, 2175 * MB),
     ("75%", 100 * MB + 12345, 75 * MB), ("50%", 8 * MB, 4 * MB)],
)  # fmt: skip
def test_wanted_bytes(text, limit, expected):
    assert redis_room.wanted_bytes(text, limit) == expected


@pytest.mark.parametrize("text", ["lots", "0%", "101%", "1.5gb", "-1"])
def test_wanted_bytes_refuses(text):
    with pytest.raises(SizeError):
        redis_room.wanted_bytes(text, LIMIT)


@pytest.mark.parametrize(
    "info, save, expected",
    [({"aof_enabled": 1}, "", True), ({"aof_enabled": 0}, "", False), ({}, "900 1", True), ({}, None, True)],
)
def test_saves(info, save, expected):
    """Where the parameter cannot be read, the careful answer."""
    assert redis_room.saves(info, save) is expected
