# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import units
from ansible_collections.smallhost.headroom.plugins.module_utils.cgroup import Memory
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task import apply, decide, host
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.service import Service

MIB = 1024 * 1024
NONE = dict.fromkeys(("memory", "memory_swap", "memory_reservation", "cpus", "pids"))


def memory(**figures):
    zero = dict.fromkeys(Memory.__dataclass_fields__, 0)
    return Memory(**{**zero, "limit": None, "swap_limit": None, "reservation": None, "peak": None, **figures})


def running(project, service, number=1, state="running", **host_config):
    return Container(
        {
            "Id": f"{project}{service}{number}",
            "Name": f"/{project}-{service}-{number}",
            "Config": {"Labels": {"com.docker.compose.project": project, "com.docker.compose.service": service}},
            "State": {"Running": state == "running", "Status": state},
            "HostConfig": host_config,
        }
    )


@pytest.mark.parametrize(
    ("entry", "swap"),
    [
        ({"memory": "50M"}, 50 * MIB),
        ({"memory": "50M", "memory_swap": "80M"}, 80 * MIB),
        ({"memory": "50M", "memory_swap": "-1"}, -1),
        ({"pids": 5}, None),
    ],
)
def test_swap_defaults_to_memory(entry, swap):
    assert decide.read_wanted(entry)["memory_swap"] == swap


def test_a_size_that_is_none():
    with pytest.raises(units.SizeError):
        decide.read_wanted({"memory": "lots"})


@pytest.mark.parametrize(
    ("wanted", "now", "words"),
    [
        ({"memory": 5 * MIB}, {}, "below the engine's minimum"),
        ({"memory": 50 * MIB, "memory_swap": 40 * MIB}, {}, "not below 50.0 MB"),
        ({"memory_swap": 40 * MIB}, {}, "memory_swap needs memory"),
        ({"memory_reservation": 60 * MIB}, {"memory": 50 * MIB}, "above the limit of 50.0 MB"),
        ({"memory": 50 * MIB}, {"memory_reservation": 60 * MIB}, "above the limit of 50.0 MB"),
        ({"cpus": 0.001}, {}, "outside of 0.01 to 2"),
        ({"cpus": 3.0}, {}, "outside of 0.01 to 2"),
    ],
)
def test_what_the_engine_would_refuse_is_said_before(wanted, now, words):
    (found,) = decide.contradictions("bot", {**NONE, **wanted}, {**NONE, **now}, 2)
    assert found.startswith("bot: ")
    assert words in found


def test_what_the_engine_takes():
    assert decide.contradictions("bot", {**NONE, "memory": 50 * MIB, "memory_swap": -1, "cpus": 2.0}, NONE, 2) == []


def service(wanted, **figures):
    return Service("bot", {}, {**NONE, **wanted}, [], {"a": memory(**figures)}, target=wanted.get("memory"))


def test_a_refusal_has_service_figures_rule_and_way_out():
    found = decide.too_small(
        service({"memory": 30 * MIB}, working_set=40 * MIB, anon=20 * MIB, kernel=5 * MIB), 44 * MIB
    )
    assert found == (
        "bot: a limit of 30.0 MB is below the 44.0 MB that it needs now: 1.1 x 40.0 MB, the larger of its working set "
        "(40.0 MB) and its anonymous, shared and kernel memory (25.0 MB). Give it 44M or more, or use fit: raise to "
        "take what is needed."
    )


def test_memory_in_swap_needs_room_too():
    wanted = {"memory": 100 * MIB, "memory_swap": 100 * MIB}
    (found,) = decide.swapped_out(service(wanted, working_set=80 * MIB, swap=30 * MIB))
    assert "Give memory_swap: 121M or more" in found
    assert decide.swapped_out(service({**wanted, "memory_swap": 130 * MIB}, working_set=80 * MIB, swap=30 * MIB)) == []
    assert decide.swapped_out(service({**wanted, "memory_swap": -1}, working_set=80 * MIB, swap=30 * MIB)) == []
    assert decide.swapped_out(service(wanted, working_set=99 * MIB)) == []


def test_every_container_of_the_host_counts_once():
    model = {
        "services": {
            "bot": {"mem_limit": str(100 * MIB), "mem_reservation": str(50 * MIB)},
            "worker": {"mem_limit": str(10 * MIB), "scale": 3},
            "off": {"mem_limit": str(7 * MIB), "deploy": {"replicas": 0}},
            "open": {},
        }
    }
    everywhere = [
        running("p", "bot", Memory=20 * MIB),
        running("p", "worker"),
        running("p", "open"),
        running("other", "db", Memory=500 * MIB),
        running("other", "stopped", state="exited", Memory=900 * MIB),
        running("p", "removed", Memory=3 * MIB),
    ]
    uses = {"pbot1": memory(working_set=40), "popen1": memory(working_set=5), "otherdb1": memory(working_set=9)}
    found = {share.name: share for share in host.shares(model, "p", everywhere, uses)}
    assert found["bot"].limit == 100 * MIB
    assert found["bot"].reservation == 50 * MIB
    assert found["bot"].used == 40
    assert found["worker"].limit == 30 * MIB
    assert found["off"].limit == 0
    assert found["open"].limit is None
    assert found["other-db-1"].limit == 500 * MIB
    assert found["p-removed-1"].limit == 3 * MIB
    assert "other-stopped-1" not in found
    assert sum(share.limit or 0 for share in found.values()) == (100 + 30 + 500 + 3) * MIB


def test_a_container_that_waits_to_be_restarted_keeps_its_fitted_limit(tmp_path):
    sizes = {"Memory": 180 * MIB, "MemorySwap": 180 * MIB}
    config = {"mem_limit": str(180 * MIB), "memswap_limit": str(180 * MIB)}
    wanted = decide.read_wanted({"name": "bot", "memory": "120M"})
    bot = Service("bot", config, wanted, [running("p", "bot", state="restarting", **sizes)], {"pbot1": None})
    journal = Journal("p", str(tmp_path))
    with journal.locked():
        journal.remember("limits", decide.FITTED + "bot", {"target": 120 * MIB, "limit": 180 * MIB})
        task = SimpleNamespace(params={"fit": "raise"}, journal=journal, owner="limits", warnings=[])
        assert decide.decide(task, bot) == []
        decide.plan(bot, False, True)
        apply.remember_fit(task, bot)
        assert journal.recall("limits", decide.FITTED + "bot") == {"target": 120 * MIB, "limit": 180 * MIB}
    assert not bot.changed


def test_a_limit_counts_as_agreed_only_where_file_and_containers_have_it():
    def agreed(*live):
        containers = [running("p", "bot", number, Memory=size) for number, size in enumerate(live)]
        return Service("bot", {"mem_limit": "50"}, {}, containers, {}).agreed_limit()

    assert agreed(50, 50) == agreed() == 50
    assert agreed(50, 60) is None
    assert agreed(0) is None
