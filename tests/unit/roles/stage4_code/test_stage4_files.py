# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stage 4 puts on the host is looked at in each run: what is not as it has to be is work, and is mended."""

from __future__ import annotations

import pytest

SERVICES = [{"role": "bot", "service": "bot", "memory": "120mb"}]
ENVIRONMENT = {"PYTHONPATH": "/opt/headroom/site", "HEADROOM_RUNTIME": "images"}
MODEL = {"name": "bot", "services": {"bot": {"image": "bot", "environment": ENVIRONMENT, "mem_limit": "150000000"}}}


@pytest.fixture(scope="module")
def play(stage):
    """Play the stage in this host's folder: play(check)."""
    folder = stage.folder
    (folder / "etc").mkdir()

    def play(check=False, **variables):
        return stage.play(
            "stage4_code",
            check=check,
            model=MODEL,
            headroom_services=SERVICES,
            headroom_folder=str(folder / "lib/bot"),
            headroom_counters=str(folder / "run/headroom/counters"),
            headroom_counters_tmpfiles=str(folder / "etc/counters.conf"),
            **variables,
        )

    return play


@pytest.fixture(scope="module")
def applied(stage, play):
    """The folder of a host with the stage, after a first run of it."""
    (stage.folder / "run").mkdir()
    assert play().work
    return stage.folder


def test_a_second_run_has_nothing_to_do(applied, play):
    again = play(check=True)
    assert not again.work and "changed=0 " in again.output, again.output
    wanted = again.of("compose_service", undo_key="python_site")[0]["services"][0]["environment"]
    # Processes keep the sitecustomize.py that they started with: another one has to change the service.
    assert {entry["name"] for entry in wanted} == {"PYTHONPATH", "HEADROOM_SITE_BUILD"}
    (limits,) = again.of("compose_limits", state="present")
    assert limits["services"] == [{"name": "bot", "memory": "120mb"}]


def state(folder):
    """Each file and folder with its mode and bytes."""
    found = [path for name in ("lib", "run", "etc") for path in sorted((folder / name).rglob("*"))]
    return [(path, path.stat().st_mode, path.read_bytes() if path.is_file() else b"") for path in found]


def test_what_is_not_as_it_has_to_be_is_work_and_is_mended(applied, play):
    before = state(applied)
    package, counters = applied / "lib/bot/site/headroom_runtime", applied / "run/headroom/counters"
    (package / "http.py").unlink()
    (package / "earlier.py").write_text("")
    package.chmod(0o700)
    (package.parent / "sitecustomize.py").write_text("# by hand")
    counters.rmdir()
    counters.mkdir()  # as the engine makes it where it is missing, after a reboot
    (applied / "etc/counters.conf").unlink()
    items = ["00", "00_folder", "00_package", "00_stale", "12_boot", "12_place"]
    assert play(check=True).changed == [f"stage4_code_item{item}" for item in items]
    assert play().work
    assert state(applied) == before


def test_the_place_of_counters_is_made_at_boot_for_whoever_counts(applied):
    """A service that is not root has to write there, and the folder lies in memory."""
    counters = applied / "run/headroom/counters"
    lines = (applied / "etc/counters.conf").read_text().splitlines()
    assert lines[1:] == [f"d {counters.parent} 0755 root root -", f"d {counters} 1777 root root -"]
    assert (counters.parent.stat().st_mode & 0o7777, counters.stat().st_mode & 0o7777) == (0o755, 0o1777)


def test_undone_it_leaves_nothing_but_what_is_gone_after_a_reboot(applied, play):
    assert play(headroom_state="absent").changed == ["stage4_code_item00", "stage4_code_item12_forgotten"]
    assert not (applied / "lib/bot/site").exists()
    assert list((applied / "etc").iterdir()) == []
    assert not play(headroom_state="absent", check=True).work
