# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import units

MIB = 1024**2


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("120M", 120 * MIB),
        ("120m", 120 * MIB),
        ("120mb", 120 * MIB),
        ("120MiB", 120 * MIB),
        ("1.5G", 1536 * MIB),
        ("1m", 1048576),
        ("1048576", 1048576),
        (1048576, 1048576),
        ("300 k", 300 * 1024),
        ("10b", 10),
    ],
)
def test_compose_sizes(text, size):
    assert units.parse_compose_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "12x", "-1m", "1,5G", True, "1m1", "kib5"])
def test_what_compose_refuses(text):
    with pytest.raises(units.SizeError, match=r"size|boolean|unit"):
        units.parse_compose_size(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1m", 1000000), ("1mb", 1048576), ("2GB", 2147483648), ("2gb", 2147483648), ("100", 100), ("5k", 5000), (7, 7)],
)
def test_redis_sizes(text, size):
    assert units.parse_redis_size(text) == size


@pytest.mark.parametrize("text", ["1.5gb", "1tb", "1mib", "x"])
def test_what_redis_refuses(text):
    with pytest.raises(units.SizeError):
        units.parse_redis_size(text)


@pytest.mark.parametrize("size", [1, 1023, 1024, 120 * MIB, 1536 * MIB, 2**40, 123456789])
def test_formatted_sizes_read_back_the_same(size):
    assert units.parse_compose_size(units.format_compose_size(size)) == size
    assert units.parse_redis_size(units.format_redis_size(size)) == size


def test_formatted_sizes_are_short():
    assert units.format_compose_size(120 * MIB) == "120M"
    assert units.format_redis_size(96 * MIB) == "96mb"


@pytest.mark.parametrize(("text", "share"), [("75%", 0.75), (" 100% ", 1.0), ("64m", None)])
def test_percent(text, share):
    assert units.parse_percent(text) == share


@pytest.mark.parametrize("text", ["0%", "101%", "x%"])
def test_percent_out_of_range(text):
    with pytest.raises(units.SizeError):
        units.parse_percent(text)


@pytest.mark.parametrize(("size", "text"), [(12, "12 B"), (150573875, "143.6 MB"), (3 * 1024**3, "3.0 GB"), (0, "0 B")])
def test_human_sizes(size, text):
    assert units.human_size(size) == text
