# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual environments beside the tests' own one, and the Pythons that this machine has for them."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from sandbox.environment import cache
from sandbox.process import run, step, succeeds

# Galaxy's importer and the documentation's builder bring an ansible-core of their own choice.
REQUIREMENTS = ("galaxy-importer>=0.4.30", "antsibull-docs>=2.16", "antsibull-changelog>=0.30", "ansible-builder>=3.1")
WANTED_PYTHON = ("3.12", "3.13", "3.11")


def interpreter(version: str) -> str | None:
    """Return a working interpreter of a version as "3.12", from PATH or pyenv's folder; None where there is none."""
    found = [shutil.which(f"python{version}") or ""]
    root = os.environ.get("PYENV_ROOT") or str(Path("~/.pyenv").expanduser())
    found += sorted(glob.glob(f"{root}/versions/{version}.*/bin/python{version}"))
    # pyenv puts a script on PATH for versions that are not switched on, and that fails.
    for path in filter(None, found):
        if succeeds([path, "-c", "import ensurepip, venv"]):
            return path
    return None


def environment(name: str, python: str, requirements: Sequence[str]) -> Path:
    """Return the `bin` folder of a kept virtual environment with these requirements, made on first use.

    Raises SandboxError where pip cannot install them.
    """
    folder = cache() / "release" / name
    complete = folder / "complete"
    wanted = "\n".join([python, *requirements])
    if not complete.exists() or complete.read_text(encoding="utf-8") != wanted:
        with step(f"make a virtual environment: {name}"):
            shutil.rmtree(folder, ignore_errors=True)
            run([python, "-m", "venv", str(folder)])
            run([str(folder / "bin/pip"), "install", "-q", "--disable-pip-version-check", *requirements])
        complete.write_text(wanted, encoding="utf-8")
    return folder / "bin"


def modern_python() -> str:
    """Return an interpreter that the release's programs run on. Raises LookupError where there is none."""
    for version in WANTED_PYTHON:
        python = interpreter(version)
        if python:
            return python
    raise LookupError(f"The tools of a release need Python {' or '.join(sorted(WANTED_PYTHON))}; none was found here.")


def tools() -> Path:
    """Return the `bin` folder with the programs of a release. Raises SandboxError where they cannot be installed."""
    return environment("tools", modern_python(), REQUIREMENTS)


def with_path(folder: Path) -> dict[str, str]:
    """Return environment variables with which a virtual environment's programs find their own modules first.

    They are added to this process's, so what must not count is set empty (`process.run` removes nothing).
    """
    return {"PYTHONPATH": "", "VIRTUAL_ENV": str(folder.parent), "PATH": f"{folder}:{os.environ['PATH']}"}
