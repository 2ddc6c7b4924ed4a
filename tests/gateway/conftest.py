# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One gateway, one Redis and one set of providers for the tests of a file; counters and faults start anew in each."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from place import Gateway, Providers, Redis, folder  # noqa: E402


@pytest.fixture(scope="session")
def providers():
    with folder() as where:
        started = Providers(where)
        yield started
        started.process.stop()


@pytest.fixture(scope="module")
def redis():
    with folder() as where:
        started = Redis(where)
        yield started
        started.process.stop()


@pytest.fixture(scope="module")
def gateway(providers, redis, request):
    """The gateway; a test file may lay a POLICY of its own over the packaged one."""
    with folder() as where:
        started = Gateway(where, providers, redis.url, getattr(request.module, "POLICY", ""))
        yield started
        started.process.stop()


@pytest.fixture(autouse=True)
def fresh(providers, redis):
    if redis.process.child.poll() is None:
        redis.cli("FLUSHALL")
    providers.reset()
