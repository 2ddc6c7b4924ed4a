# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.providers.dns import FORMAT_ERROR, NO_ERROR, REFUSED, answer, parse_question

NAMES = {"api.openai.com", "fal.run"}
ADDRESS = "198.18.77.200"


def query(name, kind=1, klass=1, ident=0x1234, flags=0x0100):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    return struct.pack("!6H", ident, flags, 1, 0, 0, 0) + labels + struct.pack("!2H", kind, klass)


def ask(name, **changes):
    reply = answer(query(name, **changes), NAMES, ADDRESS)
    ident, flags, questions, answers, _unused, _unused = struct.unpack_from("!6H", reply)
    assert flags & 0x8000, "the response bit"
    return ident, flags & 0xF, questions, answers, reply


def test_own_names_have_the_address():
    ident, code, questions, answers, reply = ask("api.openai.com")
    assert (ident, code, questions, answers) == (0x1234, NO_ERROR, 1, 1)
    assert reply[-4:] == bytes([198, 18, 77, 200])


def test_names_are_compared_without_case():
    assert ask("API.OpenAI.com")[1:4] == (NO_ERROR, 1, 1)


def test_the_question_comes_back_as_it_was_asked():
    sent = query("API.OpenAI.com")
    assert answer(sent, NAMES, ADDRESS)[12 : len(sent)] == sent[12:]


@pytest.mark.parametrize("kind", [28, 15, 65])
def test_own_names_have_no_other_record(kind):
    assert ask("fal.run", kind=kind)[1:4] == (NO_ERROR, 1, 0)


@pytest.mark.parametrize("name", ["example.org", "openai.com", "x.api.openai.com", "fal.run.example.org"])
def test_every_other_name_is_refused_so_that_resolvers_ask_the_next_server(name):
    assert ask(name)[1:4] == (REFUSED, 1, 0)


def test_message_without_a_question_is_a_format_error():
    reply = answer(struct.pack("!6H", 7, 0, 0, 0, 0, 0), NAMES, ADDRESS)
    assert struct.unpack_from("!2H", reply) == (7, 0x8080 | FORMAT_ERROR)


def test_parse_question():
    assert parse_question(query("a.b", kind=28)) == ("a.b", 28, 1, 12 + 5 + 4)


@given(st.binary(max_size=80))
def test_no_message_breaks_the_server(data):
    reply = answer(data, NAMES, ADDRESS)
    assert (reply is None) == (len(data) < 12)
