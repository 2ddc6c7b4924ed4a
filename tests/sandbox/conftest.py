# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small host with the reference stack; and the checkout is on the import path, however pytest was started.

HEADROOM_STACK_HOST names a host that runs the stack already and is left as it is; without it each file of tests makes
one and removes it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sandbox import host, state
from sandbox.stack import host as stack_host


@pytest.fixture(scope="module")
def instance(request):
    given = os.environ.get("HEADROOM_STACK_HOST")
    if given:
        yield state.require(given)
        return
    name = f"{request.path.stem.removeprefix('test_').replace('_', '-')}-test"
    yield stack_host.bring_up(name)
    host.down(name)
