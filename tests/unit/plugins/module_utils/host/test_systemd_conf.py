# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.host import daemon, systemd_conf
from ansible_collections.smallhost.headroom.plugins.module_utils.host.systemd_conf import ConfError


def entry(name, value):
    return {"name": name, "value": value}


def test_a_drop_in_has_its_daemons_section():
    text = systemd_conf.drop_in(systemd_conf.CONFS["journald"], [entry("SystemMaxUse", "200M")])
    assert text.decode().splitlines()[1:] == ["[Journal]", "SystemMaxUse=200M"]
    assert systemd_conf.CONFS["system"].folder == "/etc/systemd/system.conf.d"


@pytest.mark.parametrize(
    "settings",
    [
        [entry("SystemMaxUse", "1M"), entry("SystemMaxUse", "2M")],
        [entry("SystemMaxUse", "1M\nStorage=none")],
        [entry("[Journal]", "1M")],
    ],
)
def test_what_would_be_another_line_of_the_file_is_refused(settings):
    with pytest.raises(ConfError):
        systemd_conf.drop_in(systemd_conf.CONFS["journald"], settings)


def test_the_last_assignment_counts():
    # As systemd-analyze cat-config (252) prints it.
    text = """# /etc/systemd/journald.conf
[Journal]
#SystemMaxUse=
Storage=auto

# /etc/systemd/journald.conf.d/90-headroom.conf
[Journal]
SystemMaxUse=200M

# /etc/systemd/journald.conf.d/99-local.conf
[Journal]
SystemMaxUse = 1G
"""
    found = systemd_conf.assignments(text)
    assert found["SystemMaxUse"] == ("1G", "/etc/systemd/journald.conf.d/99-local.conf")
    assert found["Storage"] == ("auto", "/etc/systemd/journald.conf")


def test_a_pidfile_of_another_program_names_no_daemon(tmp_path):
    (tmp_path / "17").mkdir()
    (tmp_path / "17/comm").write_text("dockerd\n")
    (tmp_path / "docker.pid").write_text("17\n")
    assert daemon.read_pid(str(tmp_path / "docker.pid"), "dockerd", str(tmp_path)) == 17
    (tmp_path / "17/comm").write_text("sshd\n")
    assert daemon.read_pid(str(tmp_path / "docker.pid"), "dockerd", str(tmp_path)) is None
    assert daemon.read_pid(str(tmp_path / "none.pid"), "dockerd", str(tmp_path)) is None


def test_two_starts_of_a_daemon_differ_also_with_the_same_pid(tmp_path):
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("boot-1\n")
    (tmp_path / "17").mkdir()
    stat = "17 (docker d) S 1 17 17 0 -1 4194560 1 0 0 0 5 5 0 0 20 0 10 0 {} 1000 20\n"
    (tmp_path / "17/stat").write_text(stat.format(4711))
    first = daemon.identity(17, str(tmp_path))
    assert first == "boot-1 17 4711"
    (tmp_path / "17/stat").write_text(stat.format(4712))
    assert daemon.identity(17, str(tmp_path)) != first
