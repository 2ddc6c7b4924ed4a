# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The chained sitecustomize, in every interpreter that this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROLE = Path(__file__).resolve().parents[4] / "roles/python_site"
RANGE = [(3, minor) for minor in range(6, 15)]


def interpreters() -> dict[str, str]:
    """Version to path: this one, those on PATH, and pyenv's (`PYENV_ROOT`, by default ~/.pyenv)."""
    found = {f"{sys.version_info.major}.{sys.version_info.minor}": sys.executable}
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for major, minor in RANGE:
        name = f"{major}.{minor}"
        places = [*sorted(versions.glob(f"{name}.*/bin/python{name}")), shutil.which(f"python{name}")]
        for place in places:
            if place and works(str(place)):
                found.setdefault(name, str(place))
    return found


def works(path: str) -> bool:
    """pyenv's shims answer for versions that are not selected too, with an error."""
    return subprocess.run([path, "-S", "-c", ""], check=False, capture_output=True).returncode == 0


PYTHONS = interpreters()
PATCHABLE = {name: path for name, path in PYTHONS.items() if int(name.split(".")[1]) >= 8}


@pytest.fixture
def site(tmp_path):
    """The folder as it is mounted into a container."""
    folder = tmp_path / "site"
    folder.mkdir()
    shutil.copy(ROLE / "files/sitecustomize.py", folder)
    return folder


def run(python, path, code="print('ran')", **variables):
    environment = {"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.run(
        [python, "-c", code], env={**environment, **variables}, check=False, capture_output=True, text=True, timeout=60
    )


def lines(done):
    """The first and the last line on standard error."""
    said = done.stderr.splitlines()
    return said[:1] + said[-1:]


def write(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(text)


@pytest.mark.parametrize("version", PATCHABLE)
@pytest.mark.parametrize(
    ("variables", "started"),
    [
        ({}, ""),
        ({"HEADROOM_REDIRECT": "http://gateway"}, "redirect"),
        ({"HEADROOM_RUNTIME": "images"}, "runtime"),
        ({"HEADROOM_REDIRECT": "http://gateway", "HEADROOM_RUNTIME": "images"}, "redirect runtime"),
        ({"HEADROOM_REDIRECT": "", "HEADROOM_RUNTIME": ""}, ""),
    ],
)
def test_starts_what_the_environment_asks_for(site, version, variables, started):
    for part in ("redirect", "runtime"):
        write(site, f"headroom_{part}", f"import sys\nsys.started = getattr(sys, 'started', []) + ['{part}']\n")
    done = run(PATCHABLE[version], [site], "import sys; print(*getattr(sys, 'started', []))", **variables)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, started, "")


@pytest.mark.parametrize("version", PYTHONS)
@pytest.mark.parametrize(
    "fault",
    [
        "raise ValueError('two\\nlines')",
        "import no_such_module",
        "raise SystemExit(3)",
        "def broken(:",
        "1 / 0",
        "exit()",
    ],
)
def test_part_that_fails_costs_one_line(site, version, fault):
    write(site, "headroom_runtime", fault)
    done = run(PYTHONS[version], [site], HEADROOM_RUNTIME="images")
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("headroom: headroom_runtime was not applied: ")


def test_missing_part_costs_one_line_and_the_other_is_started(site):
    write(site, "headroom_runtime", "import sys; sys.started = True")
    done = run(sys.executable, [site], "import sys; print(sys.started)", HEADROOM_RUNTIME="x", HEADROOM_REDIRECT="y")
    assert done.stdout == "True\n"
    assert done.stderr.splitlines() == [
        "headroom: headroom_redirect was not applied: ModuleNotFoundError: No module named 'headroom_redirect'"
    ]


def test_closed_standard_error_is_no_fault(site):
    code = f"exec {sys.executable} -c 'print(1)' 2>&-"
    done = subprocess.run(
        ["/bin/sh", "-c", code],
        env={"PYTHONPATH": str(site), "HEADROOM_RUNTIME": "images"},
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "1\n")


@pytest.mark.parametrize("version", PYTHONS)
def test_runs_the_sitecustomize_that_it_hides(site, tmp_path, version):
    write(tmp_path / "theirs", "sitecustomize", "ANSWER = 42\nPLACE = __file__\nNAME = __name__\n")
    code = "import sitecustomize as s; print(s.ANSWER, s.PLACE, s.NAME, s.__spec__.name)"
    alone = run(PYTHONS[version], [tmp_path / "theirs"], code)
    chained = run(PYTHONS[version], [site, site, tmp_path / "theirs"], code)
    assert chained.stdout == alone.stdout != ""
    assert (chained.returncode, chained.stderr) == (0, "")


@pytest.mark.parametrize("version", PYTHONS)
@pytest.mark.parametrize(
    "fault", ["raise ValueError('theirs')", "import no_such_module", "raise SystemExit(3)", "def broken(:"]
)
def test_fault_in_the_hidden_one_does_what_it_does_without_us(site, tmp_path, version, fault):
    write(tmp_path / "theirs", "sitecustomize", fault)
    alone = run(PYTHONS[version], [tmp_path / "theirs"])
    chained = run(PYTHONS[version], [site, tmp_path / "theirs"])
    # The traceback of an exit shows the files on the way to it; how it begins and ends is what Python makes of it.
    seen = [(done.returncode, done.stdout, *lines(done)) for done in (alone, chained)]
    assert seen[0] == seen[1]


def test_parts_are_in_place_before_the_hidden_one_runs(site, tmp_path):
    write(site, "headroom_runtime", "import sys; sys.order = ['ours']")
    write(tmp_path / "theirs", "sitecustomize", "import sys; sys.order.append('theirs')")
    done = run(sys.executable, [site, tmp_path / "theirs"], "import sys; print(*sys.order)", HEADROOM_RUNTIME="images")
    assert done.stdout == "ours theirs\n"


def test_a_chain_of_others_goes_on(site, tmp_path):
    """Tools that put themselves first, and hand on by importing again, as New Relic's and Datadog's do."""
    tool = """
import importlib, os, sys
here = os.path.dirname(os.path.abspath(__file__))
sys.path.remove(here)
del sys.modules['sitecustomize']
importlib.import_module('sitecustomize')
sys.path.insert(0, here)
"""
    write(tmp_path / "tool", "sitecustomize", tool)
    write(tmp_path / "theirs", "sitecustomize", "import sys; sys.reached = True")
    write(site, "headroom_runtime", "import sys; sys.ours = True")
    code = "import sys; print(sys.ours, sys.reached)"
    done = run(sys.executable, [tmp_path / "tool", site, tmp_path / "theirs"], code, HEADROOM_RUNTIME="images")
    assert (done.stdout, done.stderr) == ("True True\n", "")


@pytest.mark.skipif(not Path("/etc/python3.11/sitecustomize.py").exists(), reason="Debian's own Python only")
def test_debians_sitecustomize_still_runs(site):
    done = run("/usr/bin/python3.11", [site], "import sitecustomize; print(sitecustomize.__file__)")
    assert done.stdout == "/usr/lib/python3.11/sitecustomize.py\n"


@pytest.mark.parametrize("option", ["-I", "-E", "-S"])
def test_interpreter_that_ignores_the_environment_is_left_alone(site, option):
    done = subprocess.run(
        [sys.executable, option, "-c", "print('ran')"],
        env={"PYTHONPATH": str(site), "HEADROOM_RUNTIME": "images"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("ran\n", "")
