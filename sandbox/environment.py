# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a clean clone to a virtual environment with Ansible in it. Uses the standard library only.

The environment lies in the cache and is keyed by the requirements, so the second run finds it. The checkout is linked
under the name that Ansible knows a collection by.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
from pathlib import Path

from sandbox.process import SandboxError, as_root, run, step, succeeds

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements-test.txt"


def cache() -> Path:
    """Return the folder of everything that is kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "headroom"


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def _have_ensurepip() -> None:
    """Debian's python3 comes without it. The package is installed where it is missing, and only there."""
    if succeeds([sys.executable, "-c", "import ensurepip, venv"]):
        return
    with step("install python3-venv"):
        run(as_root(["apt-get", "update", "-qq"]))
        run(as_root(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "python3-venv"]))


def _virtual_environment() -> Path:
    venv = cache() / f"venv-{_digest(REQUIREMENTS.read_bytes(), sys.version.encode())}"
    if (venv / "complete").exists():
        return venv
    _have_ensurepip()
    with step("make a virtual environment with Ansible and the test tools"):
        shutil.rmtree(venv, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(venv)])
        run([str(venv / "bin/pip"), "install", "-q", "--disable-pip-version-check", "-r", str(REQUIREMENTS)])
    (venv / "complete").touch()
    return venv


def _collections() -> Path:
    base = cache() / f"collections-{_digest(os.fsencode(ROOT))}"
    link = base / "ansible_collections/smallhost/headroom"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(ROOT)
    return base


def enter() -> dict[str, str]:
    """Make what is missing and return the environment variables that programs of the project run with.

    Raises SandboxError where a package or a Python distribution cannot be installed.
    """
    if sys.version_info < (3, 11):
        raise SandboxError(
            f"Python {sys.version.split()[0]} is too old for the controller; use 3.11 or newer (Debian 12 has it)."
        )
    cache().mkdir(parents=True, exist_ok=True)
    with open(cache() / "setup.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        venv, collections = _virtual_environment(), _collections()
    return {
        **os.environ,
        "VIRTUAL_ENV": str(venv),
        "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{collections}",
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_HOME": str(cache() / "ansible"),
    }


def become(*arguments: str) -> None:
    """Replace this process by the virtual environment's Python, run with these arguments. Does not return."""
    try:
        environment = enter()
    except SandboxError as error:
        raise SystemExit(str(error)) from error
    python = f"{environment['VIRTUAL_ENV']}/bin/python"
    os.execve(python, [python, *arguments], environment)


if __name__ == "__main__":
    become(*sys.argv[1:])
