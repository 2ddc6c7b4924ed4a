# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every aiogram from 3.4 on: its models say and do the same with lazy-models as without (see aiogram_models.py).

    python3 tests/runtime/aiogram_versions.py [3.4.1 3.31.0 ...]

Each version gets an environment of its own, with the pydantic that its requirements choose; they are kept in --folder.
"""

from __future__ import annotations

import argparse
import difflib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
RUNTIME = HERE.parents[1] / "roles/stage4_code/files"
VERSIONS = [
    "3.4.0", "3.4.1", "3.5.0", "3.6.0", "3.7.0", "3.8.0", "3.9.0", "3.10.0", "3.11.0", "3.12.0", "3.13.0", "3.13.1",
    "3.14.0", "3.15.0", "3.16.0", "3.17.0", "3.18.0", "3.19.0", "3.20.0", "3.20.0.post0", "3.21.0", "3.22.0",
    "3.23.0", "3.24.0", "3.25.0", "3.26.0", "3.27.0", "3.28.0", "3.28.1", "3.28.2", "3.29.1", "3.30.0", "3.31.0",
]  # fmt: skip
RESIDENT = "[line for line in open('/proc/self/status') if line.startswith('VmRSS')][0].split()[1]"


def environment(version: str, folder: Path) -> Path:
    """The Python of an environment with this aiogram."""
    python = folder / version / "bin/python"
    if not (folder / version / "ok").exists():
        subprocess.run([sys.executable, "-m", "venv", folder / version], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", f"aiogram=={version}"], check=True)
        (folder / version / "ok").touch()
    return python


def run(python: Path, features: str, site: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    known = {**os.environ, "HEADROOM_RUNTIME": features, "PYTHONPATH": f"{site}:{RUNTIME}", "PYTHONHASHSEED": "0"}
    return subprocess.run([python, *arguments], env=known, capture_output=True, text=True, check=False)


def compare(version: str, folder: Path) -> bool:
    """Print what differs, and what an import takes in MB."""
    python = environment(version, folder)
    with tempfile.TemporaryDirectory() as site:
        (Path(site) / "sitecustomize.py").write_text("import headroom_runtime\n")
        said = [
            run(python, features, site, str(HERE / "aiogram_models.py"), "--all") for features in ("", "lazy-models")
        ]
        took = [
            int(run(python, features, site, "-c", f"import aiogram; print({RESIDENT})").stdout) // 1024
            for features in ("", "lazy-models")
        ]
        pydantic = run(python, "", site, "-c", "import pydantic; print(pydantic.VERSION)").stdout.strip()
    complaints = [line for one in said for line in one.stderr.splitlines() if line.startswith("headroom_runtime:")]
    same = all(one.returncode == 0 for one in said) and said[0].stdout == said[1].stdout and not complaints
    lines = len(said[0].stdout.splitlines())
    print(f"aiogram {version:12} pydantic {pydantic:8} {lines} lines {'the same' if same else 'DIFFERENT'}; "
          f"import {took[0]} -> {took[1]} MB", flush=True)  # fmt: skip
    if not same:
        difference = difflib.unified_diff(*(one.stdout.splitlines() for one in said), lineterm="", n=0)
        print("\n".join([*complaints, *(one.stderr[-500:] for one in said if one.returncode), *list(difference)[:20]]))
    return same


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", nargs="*")
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache/headroom-runtime/aiogram")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    same = [compare(version, options.folder) for version in options.version or VERSIONS]
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
