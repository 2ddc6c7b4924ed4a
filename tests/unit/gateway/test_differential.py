# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pairs of requests, made at random: two that may be answered differently never share a key, two that ask for the same
always do.

What "the same" is, is said here a second time and in another way than in `key.py`: by comparing values, not by writing
them. A pair differs by one small change, because that is what a key gets wrong, or not at all but in its writing.
"""

from __future__ import annotations

import copy
import itertools
import json
import random

import pytest
from headroom_gateway.plan import decide, whole_key
from hypothesis import given, settings
from hypothesis import strategies as st

PAIRS = 4000
LARGE_PAIRS = 24
MEGABYTE = 1_000_000
CHAT = "/api.openai.com/v1/chat/completions"
TEXTS = (
    "",
    "a",
    "A",
    "a ",
    "é",
    "e\u0301",
    "слон",
    "\u0000",
    "\ud83d\ude00",
    '"',
    "\\",
    "user",
    "0",
    "null",
    "{}",
    "a" * 300,
)
IGNORED = ("user", "metadata", "safety_identifier", "prompt_cache_key")


def same(one, other):
    """Compare two JSON values; numbers of different kinds differ, as do true and 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def ask_for_the_same(one, other):
    return same(
        {name: value for name, value in one.items() if name not in IGNORED},
        {name: value for name, value in other.items() if name not in IGNORED},
    )


class Maker:
    """Makes requests, changes them, and writes them in other ways."""

    def __init__(self, seed):
        self.chance = random.Random(seed)

    def text(self):
        return self.chance.choice(TEXTS) + self.chance.choice(TEXTS)

    def value(self, depth=0):
        kind = self.chance.randrange(5 if depth > 2 else 8)
        if kind == 0:
            return self.text()
        if kind == 1:
            return self.chance.choice((0, 1, -1, 2**53, 10**30, 7))
        if kind == 2:
            return self.chance.choice((0.0, 1.0, 0.1, 1e-7, -0.5, 1e22))
        if kind in (3, 4):
            return self.chance.choice((None, True, False))
        if kind == 5:
            return [self.value(depth + 1) for _unused in range(self.chance.randrange(4))]
        return {self.text(): self.value(depth + 1) for _unused in range(self.chance.randrange(4))}

    def request(self):
        roles = ("system", "user", "assistant")
        messages = [
            {"role": self.chance.choice(roles), "content": self.text()} for _unused in range(self.chance.randint(1, 4))
        ]
        body = {"model": self.chance.choice(("m", "m2")), "temperature": 0, "messages": messages}
        for name in ("stream", "max_tokens", "top_p", "stop", "logit_bias", "x", *IGNORED):
            if self.chance.random() < 0.25:
                body[name] = self.value()
        return body

    def places(self, value, path=()):
        """Return the paths of all values inside of a value."""
        found = [path] if path else []
        if isinstance(value, dict):
            for name in value:
                found += self.places(value[name], (*path, name))
        elif isinstance(value, list):
            for number, item in enumerate(value):
                found += self.places(item, (*path, number))
        return found

    def changed(self, body):
        """Return a request with one change somewhere, however deep."""
        body = copy.deepcopy(body)
        *path, last = self.chance.choice(self.places(body))
        holder = body
        for step in path:
            holder = holder[step]
        kind = self.chance.randrange(4)
        old = holder[last]
        if kind == 0:
            holder[last] = self.value()
        elif kind == 1 and isinstance(holder, dict):
            holder[self.text()] = holder.pop(last)
        elif kind == 2:
            del holder[last]
        elif isinstance(old, str):
            holder[last] = old + self.chance.choice((" ", "\n", "a", "\u200b"))
        elif isinstance(old, bool) or old is None:
            holder[last] = {True: 1, False: 0, None: False}[old]
        elif isinstance(old, (int, float)):
            holder[last] = self.chance.choice((float(old), str(old), old + 1, -old))
        elif isinstance(old, list):
            holder[last] = list(reversed(old)) if self.chance.random() < 0.5 else [old]
        else:
            holder[last] = [old]
        return body

    def reordered(self, value):
        if isinstance(value, dict):
            names = list(value)
            self.chance.shuffle(names)
            return {name: self.reordered(value[name]) for name in names}
        return [self.reordered(item) for item in value] if isinstance(value, list) else value

    def rewritten(self, body):
        """Return the bytes of the same request in another writing, with other things that do not count."""
        body = self.reordered(body)
        for name in IGNORED:
            if self.chance.random() < 0.5:
                body[name] = self.value()
        return json.dumps(
            body,
            ensure_ascii=not self.is_writable(body) or self.chance.random() < 0.5,
            indent=self.chance.choice((None, 1, "\t")),
            separators=self.chance.choice((None, (",", ":"), (" , ", " : "))),
        ).encode()

    @staticmethod
    def is_writable(body):
        try:
            json.dumps(body, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return False
        return True


def the_key(call_to, raw, url=CHAT, **headers):
    plan = decide(call_to(url, raw=raw, authorization="Bearer sk-one", **headers))
    # A change may make a request one that is not looked up at all: its key must differ all the same.
    if not plan.cached:
        call = call_to(url, raw=raw, authorization="Bearer sk-one", **headers)
        return None if plan.fields is None else whole_key(call, plan.credential, plan.fields)
    return plan.key


def test_thousands_of_pairs(call_to):
    maker = Maker(8)
    different = alike = 0
    for _unused in range(PAIRS):
        one = maker.request()
        other = maker.changed(one)
        first, second = the_key(call_to, maker.rewritten(one)), the_key(call_to, maker.rewritten(other))
        assert first is not None and second is not None
        assert first == the_key(call_to, maker.rewritten(one))
        if ask_for_the_same(one, other):
            alike += 1
            assert first == second, (one, other)
        else:
            different += 1
            assert first != second, (one, other)
    assert different > PAIRS / 2 and alike > PAIRS / 50


def test_all_keys_of_all_requests_are_told_apart(call_to):
    """Not only within a pair: equal keys among thousands of requests only where the requests are equal."""
    maker = Maker(9)
    seen = {}
    for _unused in range(PAIRS):
        body = maker.request()
        known = seen.setdefault(the_key(call_to, json.dumps(body).encode()), body)
        assert ask_for_the_same(known, body), (known, body)
    assert len(seen) > PAIRS / 2


@pytest.mark.parametrize("seed", range(LARGE_PAIRS))
def test_bodies_to_a_megabyte(call_to, seed):
    """One letter, anywhere in a long text, makes another key; the same text in another writing does not."""
    chance = random.Random(seed)
    size = MEGABYTE - 1000 if seed < 4 else int(10 ** chance.uniform(4, 6)) - 1000
    text = chance.randbytes(size // 2).hex()
    at = chance.choice((0, size // 2, len(text) - 1, chance.randrange(len(text))))
    other = text[:at] + ("g" if text[at] != "g" else "h") + text[at + 1 :]
    bodies = [
        {
            "model": "m",
            "temperature": 0,
            "messages": [{"role": "system", "content": one}, {"role": "user", "content": "x"}],
        }
        for one in (text, other)
    ]
    maker = Maker(seed)
    first, second = (the_key(call_to, maker.rewritten(body)) for body in bodies)
    assert first != second and first == the_key(call_to, maker.rewritten(bodies[0]))


def test_two_of_everything(call_to):
    """Credentials, system prompts, streamed or not, hosts, paths, queries: every combination has a key of its own."""
    keys, count = set(), 0
    for credential, system, stream, host, path, query, project in itertools.product(
        ("Bearer sk-one", "Bearer sk-two"),
        ("You are brief.", "You are brief"),
        (None, False, True),
        ("api.openai.com", "api.groq.com"),
        ("/v1/chat/completions", "/openai/v1/chat/completions"),
        ("", "?a=1", "?a=2", "?a=1&b=2"),
        ("", "p"),
    ):
        messages = [{"role": "system", "content": system}, {"role": "user", "content": "x"}]
        body = {"model": "m", "temperature": 0, "messages": messages}
        if stream is not None:
            body["stream"] = stream
        headers = {"openai_project": project} if project else {}
        plan = decide(call_to(f"/{host}{path}{query}", body, authorization=credential, **headers))
        assert plan.cached
        keys.add(plan.key)
        count += 1
    assert len(keys) == count == 2 * 2 * 3 * 2 * 2 * 4 * 2


def test_items_share_a_key_only_with_their_equals(call_to):
    from headroom_gateway import items

    keys = {}
    for model in ("e", "e2"):
        for dimensions in (None, 256):
            for text in ("a", "b", [1, 2], "[1,2]"):
                for batch in (text, [text], [text, "other"]):
                    if isinstance(text, list) and batch is text:
                        continue
                    body = {"model": model, "input": batch}
                    if dimensions:
                        body["dimensions"] = dimensions
                    call = call_to("/openai/v1/embeddings", body)
                    shape, plan = call.route.items, decide(call)
                    one = whole_key(call, plan.credential, items.with_items(plan.fields, shape, [text]))
                    keys.setdefault((model, dimensions, str(type(text)), str(text)), set()).add(one)
    assert all(len(found) == 1 for found in keys.values())
    assert len(set().union(*keys.values())) == len(keys)


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(), values, max_size=4), st.dictionaries(st.text(), values, max_size=4))
def test_any_two_bodies(one, other):
    from headroom_gateway import key

    first, second = (key.canonical(key.parse(json.dumps(body).encode())) for body in (one, other))
    # -0.0 and 0.0 are equal to Python and written differently: two keys for one meaning cost a call, no truth.
    if same(one, other):
        assert first == second or "-0.0" in json.dumps([one, other])
    else:
        assert first != second
