# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runtime patches libraries for the life of a process: each test looks at it in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

FILES = Path(__file__).resolve().parents[3] / "roles/stage4_code/files"

# Nothing may be left beside files that the role copies.
sys.dont_write_bytecode = True
sys.path.insert(0, str(FILES))


@pytest.fixture
def application(tmp_path):
    """Run an application's code with features on: `application("lazy-models", code)` -> (standard output, error)."""

    def run(features: str, code: str, **environment: str) -> tuple[str, str]:
        site = tmp_path / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text("import headroom_runtime\n")
        program = tmp_path / "application.py"
        program.write_text(textwrap.dedent(code))
        known = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HEADROOM"))}
        known.update(
            HEADROOM_RUNTIME=features, PYTHONPATH=f"{site}:{FILES}", PYTHONDONTWRITEBYTECODE="1", **environment
        )
        done = subprocess.run(
            [sys.executable, str(program)],
            env=known,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    return run
