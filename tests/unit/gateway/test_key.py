# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from headroom_gateway import key


def test_parts_do_not_run_together():
    assert key.digest((b"ab", b"c")) != key.digest((b"a", b"bc"))
    assert key.digest((b"a", b"")) != key.digest((b"a",))
    assert len(key.digest(())) == key.KEY_BYTES


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1, "b": {"c": 2, "d": 3}}', '{"b":{"d":3,"c":2},"a":1}'),
        ('{"a": "\\u00e9"}', '{"a": "é"}'),
        ('{"a": 0.70}', '{"a": 0.7}'),
        ('{"a": [1, 2]}', ' { "a" : [ 1 , 2 ] } '),
    ],
)
def test_the_same_written_in_two_ways(one, other):
    assert key.canonical(key.parse(one.encode())) == key.canonical(key.parse(other.encode()))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1}', '{"a": "1"}'),
        ('{"a": 1}', '{"a": true}'),
        ('{"a": 1}', '{"a": 1.0}'),
        ('{"a": 0.1}', '{"a": 0.10000000000000002}'),
        ('{"a": null}', "{}"),
        ('{"a": [1, 2]}', '{"a": [2, 1]}'),
        ('{"a": "é"}', '{"a": "e\\u0301"}'),
        ('{"a": "x"}', '{"a": "x "}'),
        ('{"a": "\\ud800"}', '{"a": "\\ud801"}'),
        ('{"a": {"b": 1}}', '{"a": {}, "b": 1}'),
        ('{"a": 12345678901234567890}', '{"a": 12345678901234567891}'),
    ],
)
def test_two_different_things(one, other):
    assert key.canonical(key.parse(one.encode())) != key.canonical(key.parse(other.encode()))


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 2}',
        b'{"m": {"a": 1, "\\u0061": 2}}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"\xff\xfe{\x00}\x00",
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": "\xff"}',
        b"",
        b"{",
        b"[" * 100_000,
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(body):
    with pytest.raises(key.NotCanonical):
        key.parse(body)


def test_ignored_fields_are_those_at_the_top_only():
    plain = {"model": "m", "messages": [{"content": "x", "user": "inner"}]}
    assert key.canonical({**plain, "user": "7"}, ("user",)) == key.canonical(plain, ("user",))
    other = json.loads(json.dumps(plain).replace("inner", "another"))
    assert key.canonical(other, ("user",)) != key.canonical(plain, ("user",))


def test_the_order_of_a_schemas_fields_counts():
    one = {"response_format": {"properties": {"thoughts": {}, "result": {}}}, "model": "m"}
    other = {"model": "m", "response_format": {"properties": {"result": {}, "thoughts": {}}}}
    assert key.canonical(one) == key.canonical(other)
    ordered = ("response_format",)
    assert key.canonical(one, ordered=ordered) != key.canonical(other, ordered=ordered)
    assert key.canonical(dict(reversed(one.items())), ordered=ordered) == key.canonical(one, ordered=ordered)


def test_query_parameters_are_sorted_and_equal_names_keep_their_order():
    assert key.sorted_query(b"b=2&a=1") == key.sorted_query(b"a=1&b=2") == b"a=1&b=2"
    assert key.sorted_query(b"a=2&a=1") == b"a=2&a=1"
    assert key.sorted_query(b"") == b""
