# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cleanup's timer on a small host: a volume of the stack, a file that a container holds open, systemd-tmpfiles."""

from __future__ import annotations

import time

import pytest

from sandbox import playbook, ssh
from sandbox.environment import ROOT

VOLUME = "/var/lib/docker/volumes/deploy_media/_data"
TRIAL = f"{VOLUME}/cleanup-trial"
BY_AGE = "/srv/cleanup-trial"
HOLDER = "sleep 300"
FOLDERS = [
    {"path": TRIAL, "max_age": "4s", "keep_newer": "1s"},
    # Found by its name in the compose file; what others have put into it is not this test's to remove.
    {"volume": "media", "max_age": "3650d"},
    {"path": BY_AGE, "max_age": "4s", "keep_newer": "1s", "open_may_go": True},
]


@pytest.fixture(scope="module")
def play(instance):
    def run(*more):
        done = playbook.run(instance, "media_cleanup", ROOT, {"media_cleanup_folders": FOLDERS}, *more)
        assert done.returncode == 0, done.stdout[-4000:]
        return playbook.changed(done.stdout), done.stdout

    yield run
    run("-e", "headroom_state=absent")
    # Also what holds a file in the stack's own container: the next tests look at its processes.
    ssh.execute(instance, f"pkill -x -f '{HOLDER}' || true; rm -rf {TRIAL} {BY_AGE}")


@pytest.fixture(scope="module")
def installed(instance, play):
    """The timer's configuration with files in place that are old, one of them held by a process in a container."""
    files = "echo a > old.jpg && echo b > 'two\nlines.jpg' && echo c > held.jpg && ln -s /etc/hostname link"
    ssh.execute(instance, f"mkdir -p {TRIAL} {BY_AGE} && echo d > {BY_AGE}/old.jpg && cd {TRIAL} && {files}")
    ssh.execute(instance, f"docker exec -d imagebot-api sh -c 'exec {HOLDER} < /app/media/cleanup-trial/held.jpg'")
    time.sleep(5)
    checked, shown = play("--check", "--diff")
    changed, _shown = play()
    again, _shown = play()
    return {"checked": checked, "shown": shown, "changed": changed, "again": again}


def test_check_shows_what_would_go_and_removes_nothing(instance, installed):
    assert installed["checked"] > 0
    assert "2 files" in installed["shown"]
    assert "in use and kept: 1" in installed["shown"]


def test_second_run_changes_nothing(installed):
    assert installed["changed"] > 0
    assert installed["again"] == 0


def test_service_removes_what_is_old_and_nothing_that_a_container_holds(instance, installed):
    assert ssh.execute(instance, f"ls {TRIAL} | wc -l").strip() == "5"  # a name with a line end is two lines
    ssh.execute(instance, f"echo new > {TRIAL}/new.jpg && systemctl start headroom-media-cleanup.service")
    left = ssh.execute(instance, f"ls {TRIAL}").split()
    assert sorted(left) == ["held.jpg", "link", "new.jpg"]
    log = ssh.execute(instance, "journalctl -u headroom-media-cleanup.service -o cat")
    assert "two\\nlines.jpg" in log
    assert '"kept": {"in use": 1}' in log


def test_service_can_write_nowhere_else(instance, installed):
    """The unit's own bounds, whatever the program does."""
    show = "systemctl show headroom-media-cleanup.service -p ProtectSystem -p ReadWritePaths"
    assert ssh.execute(instance, show).split() == [
        f"ReadWritePaths=-{TRIAL}",
        f"-{VOLUME}",
        "ProtectSystem=strict",
    ]
    assert ssh.execute(instance, "systemctl is-active headroom-media-cleanup.timer").strip() == "active"


def test_what_only_age_decides_is_left_to_systemd_tmpfiles(instance, installed):
    assert BY_AGE not in ssh.execute(instance, "cat /etc/headroom-media-cleanup/folders.json")
    ssh.execute(instance, f"echo new > {BY_AGE}/new.jpg")
    ssh.execute(instance, "systemd-tmpfiles --clean /etc/tmpfiles.d/headroom-media-cleanup.conf")
    assert ssh.execute(instance, f"ls {BY_AGE}").split() == ["new.jpg"]


def test_taken_back_it_leaves_nothing(instance, installed, play):
    play("-e", "headroom_state=absent")
    places = ("systemd/system", "tmpfiles.d", "")
    left = " ".join(f"/etc/{place}/headroom-media*" for place in places) + " /usr/local/lib/headroom-media*"
    assert ssh.execute(instance, f"ls -d {left} 2> /dev/null || true").split() == []
    assert play("-e", "headroom_state=absent")[0] == 0
