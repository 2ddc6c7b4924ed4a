# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import conf as redis_conf
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    "before, values, after",
    [
        (b"# c\nmaxmemory 1gb # no comment\nport 1\n", {"maxmemory": "96mb"}, b"# c\nmaxmemory 96mb\nport 1\n"),
        (b"  MaxMemory   1gb\n", {"maxmemory": "96mb"}, b"maxmemory 96mb\n"),
        (b"maxmemory 1073741824\n", {"maxmemory": "1gb"}, b"maxmemory 1073741824\n"),
        (b"maxmemory 1gb\nmaxmemory 2gb\n", {"maxmemory": "96mb"}, b"maxmemory 96mb\n"),
        (b"port 1", {"maxmemory": "96mb"}, b"port 1\nmaxmemory 96mb\n"),
        (b"port 1\r\nmaxmemory 1gb\r\n", {"maxmemory": "96mb"}, b"port 1\r\nmaxmemory 96mb\r\n"),
        (b"port 1\nmaxmemory 1gb", {"maxmemory": "96mb"}, b"port 1\nmaxmemory 96mb"),
        (b"save 900 1\nsave 300 10\nport 1\n", {"save": "60 1"}, b"save 60 1\nport 1\n"),
        (b"save 900 1\nsave 300 10\n", {"save": "900 1 300 10"}, b"save 900 1\nsave 300 10\n"),
        (b"", {"save": ""}, b'save ""\n'),
        (b"maxmemory 1gb\ninclude /more.conf\n", {"maxmemory": "96mb"}, b"include /more.conf\nmaxmemory 96mb\n"),
        (b"include /more.conf\nmaxmemory 1gb\n", {"maxmemory": "96mb"}, b"include /more.conf\nmaxmemory 96mb\n"),
        (b"maxmemory 96mb\ninclude /more.conf\nmaxmemory 96mb\n", {"maxmemory": "96mb"},
         b"maxmemory 96mb\ninclude /more.conf\nmaxmemory 96mb\n"),
        (b"client-output-buffer-limit normal 0 0 0\nclient-output-buffer-limit pubsub 1 1 1\n",
         {"client-output-buffer-limit": "pubsub 2 2 2"},
         b"client-output-buffer-limit normal 0 0 0\nclient-output-buffer-limit pubsub 2 2 2\n"),
        (b"# \xff caf\xe9\n", {"maxmemory": "1mb"}, b"# \xff caf\xe9\nmaxmemory 1mb\n"),
    ],
)  # fmt: skip
def test_sets_a_line_and_keeps_the_rest(before, values, after):
    assert redis_conf.set_directives(before, values) == after
    assert redis_conf.set_directives(after, values) == after
    remembered = redis_conf.remember(before, values)
    if before.count(b"maxmemory") < 2 and b"include" not in before:
        assert redis_conf.restore(after, remembered) == before


def test_reads_words_as_redis_does():
    text = b'requirepass "a \\"b\\" \\x41"\nuser x on >pw ~*\nuser y off\n# requirepass no\nlogfile \'\'\n'
    found = redis_conf.directives(text)
    assert found["requirepass"] == [['a "b" A']]
    assert found["user"] == [["x", "on", ">pw", "~*"], ["y", "off"]]
    assert found["logfile"] == [[""]]


def test_unclosed_quote_names_its_line():
    with pytest.raises(redis_conf.ConfError, match="line 2"):
        redis_conf.directives(b'port 1\nrequirepass "abc\n')


LINES = st.sampled_from(["# c", "", "port 1", "maxmemory 1gb", "save 900 1", "  timeout  5", "include /x"])


@given(lines=st.lists(LINES, max_size=8), ending=st.sampled_from(["", "\n"]), size=st.integers(1, 10**9))
def test_what_redis_would_read_is_what_was_meant(lines, ending, size):
    """Redis takes the last line; nothing else in the file reads differently afterwards."""
    data = ("\n".join(lines) + (ending if lines else "")).encode()
    after = redis_conf.set_directives(data, {"maxmemory": str(size)})
    found, was = redis_conf.directives(after), redis_conf.directives(data)
    assert found.pop("maxmemory")[-1] == [str(size)]
    was.pop("maxmemory", None)
    assert found == was
    if not any(line.startswith("include") for line in lines) and lines.count("maxmemory 1gb") < 2:
        assert redis_conf.restore(after, redis_conf.remember(data, ["maxmemory"])) == data
