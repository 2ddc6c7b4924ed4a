# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.images.dockerfile import (
    DockerfileError,
    parse,
    substitute,
)


def test_a_continued_instruction_with_comments_and_empty_lines_is_one():
    file = parse('from python:3.11\nRUN apt-get update \\\n  # why\n\n  && true\nCMD ["a", "b c"]\n')
    assert [entry.keyword for entry in file.instructions] == ["FROM", "RUN", "CMD"]
    assert file.instructions[1].value == "apt-get update && true"
    assert file.instructions[1].line == 2
    assert file.instructions[2].words == ["a", "b c"]


def test_options_stand_apart_from_the_argument():
    entry = parse("FROM a\nCOPY --from=b --chown=u:g x y\n").instructions[1]
    assert entry.options == {"from": "b", "chown": "u:g"}
    assert entry.argument == "x y"


def test_directives_count_only_at_the_top():
    assert parse("# syntax=docker/dockerfile:1\nFROM a\n").directives == {"syntax": "docker/dockerfile:1"}
    assert parse("# a comment\n# syntax=docker/dockerfile:1\nFROM a\n").directives == {}


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "FROM a\nRUM true\n", "FROM a\nRUN <<EOF\ntrue\nEOF\n", "# escape=`\nFROM a\n"],
)
def test_what_is_not_understood_is_refused(text):
    with pytest.raises(DockerfileError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "result"),
    [("python:$V", "python:3"), ("${V}-slim", "3-slim"), ("${W:-4}", "4"), ("${V:+x}", "x"), ("plain", "plain")],
)
def test_variables(text, result):
    assert substitute(text, {"V": "3"}) == result


def test_a_variable_without_a_value_is_refused():
    with pytest.raises(DockerfileError, match="NAME"):
        substitute("python:${NAME}", {})
