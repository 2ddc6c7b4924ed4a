# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.audit import health_command


@pytest.mark.parametrize(
    ("test", "programs"),
    [
        ([], []),
        (["NONE"], []),
        (["CMD", "curl", "-f", "http://localhost:8000/health"], [["curl"]]),
        (["CMD", "/app/check"], [["/app/check"]]),
        (["CMD", "sh", "-c", "pgrep python || exit 1"], [["sh", "pgrep"]]),
        (["CMD-SHELL", "curl -f http://localhost/ || exit 1"], [["/bin/sh", "curl"]]),
        (["CMD-SHELL", "curl -f http://x/ || wget -q http://x/"], [["/bin/sh", "curl"], ["/bin/sh", "wget"]]),
        (["CMD-SHELL", "curl -s http://localhost/ | grep -q ok"], [["/bin/sh", "curl", "grep"]]),
        (["CMD-SHELL", "timeout 5 curl -f http://localhost/"], [["/bin/sh", "timeout"]]),
        (["CMD-SHELL", "PGUSER=x pg_isready && test -f /tmp/ready"], [["/bin/sh", "pg_isready"]]),
        (["CMD-SHELL", 'test "$(redis-cli ping)" = PONG'], [["/bin/sh"]]),
        (["CMD-SHELL", "$CHECK"], [["/bin/sh"]]),
        (["CMD-SHELL", "if pgrep -x bot; then exit 0; else exit 1; fi"], [["/bin/sh", "pgrep"]]),
        (["CMD-SHELL", "echo 'unclosed"], [["/bin/sh"]]),
    ],
)  # fmt: skip
def test_which_programs_a_check_starts(test, programs):
    assert health_command.alternatives(test) == programs


def test_the_images_own_shell_is_respected():
    assert health_command.alternatives(["CMD-SHELL", "true"], ["/bin/bash", "-c"]) == [["/bin/bash"]]


def test_where_a_program_is_looked_for():
    places = health_command.places
    assert places("curl", "/opt/venv/bin:/usr/bin", "/app") == ["/opt/venv/bin/curl", "/usr/bin/curl"]
    assert places("curl", None, None)[0] == "/usr/local/sbin/curl"
    assert places("curl", "bin:/usr/bin", "/app") == ["/app/bin/curl", "/usr/bin/curl"]
    assert places("./check.sh", "/usr/bin", "/app") == ["/app/check.sh"]
    assert places("/check.sh", "/usr/bin", "/app") == ["/check.sh"]


@pytest.mark.parametrize(
    ("alternatives", "there", "missing"),
    [
        ([], "", []),
        ([["curl"]], "curl", []),
        ([["curl"]], "", ["curl"]),
        ([["sh", "curl"], ["sh", "wget"]], "sh wget", []),
        ([["sh", "curl"], ["sh", "wget"]], "sh", ["curl", "wget"]),
        ([["sh", "curl", "grep"]], "sh grep", ["curl"]),
        ([["sh"]], "", ["sh"]),
    ],
)
def test_a_check_that_can_succeed_in_one_way_is_left_alone(alternatives, there, missing):
    assert health_command.missing(alternatives, there.split().__contains__) == missing
