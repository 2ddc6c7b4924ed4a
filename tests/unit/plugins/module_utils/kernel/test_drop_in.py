# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.drop_in import (
    block_lines,
    block_span,
    owners,
    with_block,
    without_block,
)

OTHERS = [None, b"a = 1\n", b"a = 1", b"a = 1\r\n\r\n# \xff\n", b"\n\n"]


@pytest.mark.parametrize("data", OTHERS)
def test_the_block_holds_the_lines_and_nothing_else_moves(data):
    text = with_block(data, "me", ["x = 1", "y = 2"])
    assert text.startswith(data or b"")
    assert block_lines(text, "me") == ["x = 1", "y = 2"]
    assert with_block(text, "me", ["x = 1", "y = 2"]) == text
    other = with_block(text, "me", ["x = 3"])
    assert block_lines(other, "me") == ["x = 3"]
    assert other.startswith(data or b"")


def test_two_owners_share_a_file():
    text = with_block(with_block(None, "one", ["x = 1"]), "two", ["y = 2"])
    assert block_lines(text, "one") == ["x = 1"]
    assert block_lines(with_block(text, "one", ["x = 5"]), "two") == ["y = 2"]
    assert without_block(text, "one") == with_block(None, "two", ["y = 2"])
    assert without_block(text, "on") == text
    assert owners(b"# x\n" + text) == ["one", "two"]


def test_nothing_left():
    assert without_block(with_block(None, "me", ["x"]), "me") is None
    assert with_block(with_block(None, "me", ["x"]), "me", []) is None
    assert with_block(None, "me", []) is None


def test_the_block_moves_to_the_end_only_when_something_follows():
    text = with_block(None, "me", ["x = 1"]) + b"x = 2\n"
    assert with_block(text, "me", ["x = 1"]) == text
    moved = with_block(text, "me", ["x = 1"], at_end=True)
    assert moved == b"x = 2\n" + with_block(None, "me", ["x = 1"])
    assert with_block(moved, "me", ["x = 1"], at_end=True) == moved


def test_line_numbers_of_the_block():
    text = with_block(b"a\nb\n", "me", ["x"])
    assert list(block_span(text, "me")) == [3, 4, 5]
    assert list(block_span(b"a\n", "me")) == []
