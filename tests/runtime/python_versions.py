# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runtime's unit tests on every Python that this machine has, each with the newest libraries it can have.

python3 tests/runtime/python_versions.py [3.8 3.13 ...]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ["pytest", "pydantic", "fastapi", "Pillow", "rq", "httpx", "requests", "redis"]
VERSIONS = [f"3.{minor}" for minor in range(8, 15)]


def interpreter(version: str) -> Path | None:
    """A Python of this version: on the path, or of pyenv."""
    on_path = shutil.which(f"python{version}")
    if on_path and subprocess.run([on_path, "-V"], capture_output=True, check=False).returncode == 0:
        return Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return next(iter(sorted(pyenv.glob(f"{version}.*/bin/python"))), None)


def test(version: str, folder: Path) -> bool:
    """Run the tests; True where all of them passed or this machine has no such Python."""
    python = interpreter(version)
    if python is None:
        print(f"Python {version}: not here", flush=True)
        return True
    target = folder / f"python-{version}"
    if not (target / "ok").exists():
        subprocess.run([python, "-m", "venv", target], check=True)
        subprocess.run([target / "bin/python", "-m", "pip", "install", "-q", *LIBRARIES], check=True)
        (target / "ok").touch()
    done = subprocess.run(
        [target / "bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/runtime"],
        cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    print(f"Python {version}: {done.stdout.splitlines()[-1]}", flush=True)
    if done.returncode:
        print(done.stdout[-6000:])
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", nargs="*")
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache/headroom-runtime")
    options = parser.parse_args()
    passed = [test(version, options.folder) for version in options.version or VERSIONS]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
