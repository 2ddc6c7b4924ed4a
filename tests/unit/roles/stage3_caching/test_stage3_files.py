# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stage 3 puts on the host and builds there: what is missing is work. And the sizes of its services."""

from __future__ import annotations

import pytest

SERVICES = [{"role": "bot", "service": "bot", "memory": "120M"}]
ENVIRONMENT = {"PYTHONPATH": "/opt/headroom/site", "HEADROOM_REDIRECT": "http://headroom-gateway:8080=api.openai.com"}
MODEL = {"name": "bot", "services": {"bot": {"image": "bot", "environment": ENVIRONMENT}}}


@pytest.fixture(scope="module")
def play(stage):
    """Play the stage in a host's folder: play(check)."""
    folder = stage.folder
    with stage.engine():
        yield lambda check=False: stage.play(
            "stage3_caching",
            check=check,
            model=MODEL,
            headroom_services=SERVICES,
            headroom_folder=str(folder / "lib/bot"),
            stage3_caching_redis_memory="128mb",
            stage3_caching_redis_maxmemory=67108864,
            stage3_caching_gateway_memory="96MiB",
        )


@pytest.fixture(scope="module")
def applied(stage, play):
    """The folder of a host with the stage, after a first run of it."""
    (stage.folder / "lib/bot").mkdir(parents=True)
    assert play().work
    return stage.folder


def test_what_is_missing_is_work(applied, play):
    again = play(check=True)
    assert not again.work and "changed=0 " in again.output, again.output
    (applied / "images").write_text("")
    (applied / "lib/bot/gateway").chmod(0o700)
    (applied / "lib/bot/site/headroom_redirect/route.py").unlink()
    assert play(check=True).changed == [f"stage3_caching_item{item}" for item in ("00_shim", "07", "08_folder")]


def test_sizes_may_be_written_in_any_way_that_compose_and_redis_take(applied, play):
    added = play(check=True).of("compose_added_service")
    services = {entry["name"]: entry["definition"] for call in added for entry in call["services"]}
    cache, gateway = services["headroom-cache"], services["headroom-gateway"]
    assert (cache["mem_limit"], cache["mem_reservation"]) == ("128mb", "64M")
    assert (gateway["mem_limit"], gateway["mem_reservation"]) == ("96MiB", "48M")
    assert cache["command"][cache["command"].index("--maxmemory") + 1] == "67108864"
    assert "cache.images_total_bytes = 33554432" in (applied / "lib/bot/gateway/policy.toml").read_text()
