# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gateway is no part of the collection's Python: it is loaded from the role's files, as its image has it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[3] / "roles/stage3_caching/files/gateway"

# Nothing may be left beside files that the role copies.
sys.dont_write_bytecode = True
sys.path.insert(0, str(PACKAGE))

if sys.version_info < (3, 11):  # noqa: UP036
    # The image has a newer Python; ansible-test may be run with an older one.
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def policy():
    from headroom_gateway.policy import load

    return load()


@pytest.fixture
def call_to(policy):
    """Return a call as the gateway sees it: `call_to("/openai/v1/...", body, header="value")`."""
    from headroom_gateway.http_message import Request
    from headroom_gateway.plan import Call, locate

    def make(url, body=None, method="POST", raw=None, **headers):
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        pairs = [(b"content-type", b"application/json")] if method == "POST" else []
        for name, value in headers.items():
            name = name.replace("_", "-").encode()
            pairs = [pair for pair in pairs if pair[0] != name]
            pairs.append((name, value.encode()))
        request = Request(method, url.encode(), pairs, data)
        name, target = locate(request.target)
        provider, host = policy.find(name)
        path = target.partition(b"?")[0].decode()
        return Call(provider, host, target, provider.route(method, path), request)

    return make
