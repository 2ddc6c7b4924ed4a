# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role redirects is what the gateway takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from headroom_redirect.route import Route

ROLE = Path(__file__).parents[3] / "roles" / "stage3_caching"


def test_gateway_knows_every_host_that_is_redirected():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 reads TOML")
    policy = tomllib.loads((ROLE / "files/gateway/headroom_gateway/policy.toml").read_text())
    known = {host for provider in policy["providers"].values() for host in provider["hosts"]}
    hosts = yaml.safe_load((ROLE / "defaults/main.yml").read_text())["stage3_caching_hosts"]
    assert [host for host in hosts if host not in known] == []
    assert Route.parse("http://headroom-gateway:8080=" + ",".join(hosts)).takes("https", hosts[0], None)
