# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from headroom_gateway import items
from headroom_gateway.items import Piece
from headroom_gateway.policy import Items

EMBEDDINGS = Items("input", "data", "index")
TRANSLATIONS = Items("text", "translations")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("one", ["one"]),
        (["one", "two"], ["one", "two"]),
        ([1, 2, 3], [[1, 2, 3]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
        ("", None),
        ([], None),
        (["one", ""], None),
        (["one", 2], None),
        (["one", [2]], None),
        ([True], None),
        (None, None),
        ({"a": 1}, None),
    ],
)
def test_what_can_be_taken_apart(value, found):
    assert items.split({"input": value}, EMBEDDINGS) == found


def answer(*vectors, total=10):
    data = [{"object": "embedding", "index": n, "embedding": v} for n, v in enumerate(vectors)]
    return {"object": "list", "data": data, "model": "e", "usage": {"prompt_tokens": total, "total_tokens": total}}


def test_apart_and_together_is_the_same():
    whole = answer([0.1], [0.2], [0.3], total=11)
    pieces = items.take_apart(json.dumps(whole).encode(), ["a", "bb", "ccc"], EMBEDDINGS)
    assert json.loads(items.put_together(pieces, EMBEDDINGS)) == whole
    again = [items.from_bytes(piece.to_bytes()) for piece in pieces]
    assert again == pieces


def test_another_order_and_the_same_text_twice():
    pieces = items.take_apart(json.dumps(answer([0.1], [0.2])).encode(), ["a", "b"], EMBEDDINGS)
    found = json.loads(items.put_together([pieces[1], pieces[0], pieces[1]], EMBEDDINGS))
    assert [(item["index"], item["embedding"]) for item in found["data"]] == [(0, [0.2]), (1, [0.1]), (2, [0.2])]


def test_an_answer_out_of_order_is_put_in_order():
    whole = answer([0.1], [0.2])
    whole["data"].reverse()
    pieces = items.take_apart(json.dumps(whole).encode(), ["a", "b"], EMBEDDINGS)
    assert [piece.item["embedding"] for piece in pieces] == [[0.1], [0.2]]


@pytest.mark.parametrize(
    "whole",
    [
        answer([0.1]),
        answer([0.1], [0.2], [0.3]),
        {"data": [{"index": 0}, {"index": 0}]},
        {"data": [{"index": 1}, {"index": 2}]},
        {"data": [1, 2]},
        {"data": None},
        {"error": {"message": "x"}, **answer([0.1], [0.2])},
        [],
    ],
)
def test_an_answer_that_does_not_fit(whole):
    assert items.take_apart(json.dumps(whole).encode(), ["a", "b"], EMBEDDINGS) is None
    assert items.take_apart(b"{", ["a", "b"], EMBEDDINGS) is None


def test_shares_of_tokens_add_up():
    for total in range(30):
        pieces = items.take_apart(
            json.dumps(answer([1], [2], [3], total=total)).encode(), ["a", "bbb", "cc"], EMBEDDINGS
        )
        assert sum(piece.usage["total_tokens"] for piece in pieces) == total


def test_translations_keep_their_letters():
    body = '{"translations":[{"detected_source_language":"DE","text":"Привет 😀"}]}'.encode()
    (piece,) = items.take_apart(body, ["Hallo"], TRANSLATIONS)
    assert items.put_together([piece], TRANSLATIONS) == body


def test_half_a_character_is_escaped():
    piece = Piece({"text": "\ud83d"}, {}, {})
    assert items.from_bytes(piece.to_bytes()) == piece
    assert b"\\ud83d" in items.put_together([piece], TRANSLATIONS)


def test_nonsense_in_the_cache_is_no_piece():
    assert items.from_bytes(b"{") is None and items.from_bytes(b"[1]") is None and items.from_bytes(b"3") is None
