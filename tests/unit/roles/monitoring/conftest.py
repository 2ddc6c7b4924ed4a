# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sampler is no part of the collection's Python: it is loaded from the role's files, as on a target."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

FILES = Path(__file__).resolve().parents[4] / "roles/monitoring/files"

# Nothing may be left beside files that the role copies.
sys.dont_write_bytecode = True
sys.path.insert(0, str(FILES))


@pytest.fixture
def files() -> Path:
    """The role's files."""
    return FILES
