# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one look at all stages: it asks the modules for just what the items' tasks ask them, and for all of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parents[4]
SITE, STAGE_1 = "smallhost.headroom.site", "smallhost.headroom.stage1"
LOCAL = ("-i", "localhost,", "-c", "local")

SERVICES = [
    {"role": "bot", "service": "bot", "memory": "120M", "cpus": 0.5},
    {"role": "api", "service": "api", "memory": "150M", "workers": 1},
    {"role": "worker", "service": "worker", "memory": "200M", "workers": 2},
    {"role": "redis", "service": "redis", "memory": "128M", "policy": "volatile-ttl"},
    {"role": "redis", "service": "redis2", "memory": "64M", "maxmemory": "32mb"},
]
ENVIRONMENT = {"PYTHONPATH": "/opt/headroom/site", "HEADROOM_RUNTIME": "images", "HEADROOM_REDIRECT": "http://x=y"}
MODEL = {
    "name": "bot",
    "services": {
        "bot": {"image": "bot", "environment": ENVIRONMENT, "mem_limit": "150000000", "network_mode": "host"},
        "api": {"image": "api", "environment": ENVIRONMENT, "networks": {"front": None}},
        "worker": {"image": "worker", "environment": ENVIRONMENT},
        "redis": {"build": {"context": "redis"}},
        "redis2": {"image": "redis:7"},
    },
}
STAGES = ("stage1_quick_wins", "stage2_configuration", "stage3_caching", "stage4_code")
ASKS = {
    "as it comes": {},
    "otherwise": {
        "stage2_configuration_swap": "",
        "stage2_configuration_failed_jobs_days": 7,
        "stage2_configuration_images_build_network": "host",
        "stage2_configuration_images_leave": ["bot"],
        "stage2_configuration_longest_job": "10m",
        "stage3_caching_redirect": "variables",
        "stage3_caching_services": ["api"],
        "stage4_code_options": {"http": "timeout=30"},
        "headroom_limit_fit": "refuse",
        "headroom_host_reserve": "20%",
    },
}


@pytest.fixture(scope="module")
def host(stage):
    """The variables of a host with stages 3 and 4, whose folders are this test's."""
    folder = stage.folder
    (folder / "etc").mkdir()
    (folder / "run").mkdir()
    (folder / "lib/bot").mkdir(parents=True)
    with stage.engine(ip="#!/bin/sh\necho []\n"):
        variables = {
            "headroom_project_src": "/opt/bot",
            "headroom_services": SERVICES,
            "headroom_folder": str(folder / "lib/bot"),
            "headroom_counters": str(folder / "run/headroom/counters"),
            "headroom_counters_tmpfiles": str(folder / "etc/counters.conf"),
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
        }
        for name in STAGES[2:]:
            stage.play(name, model=MODEL, **variables)  # so that their files are there
        yield variables


def played(stage, variables, *arguments, in_place=True):
    """What came of a playbook: its output, and the calls of modules."""
    code, output = stage.ansible(*LOCAL, *arguments, answers={"plan_info": {"in_place": in_place}}, **variables)
    assert code == 0, output
    return output, [json.loads(line) for line in (stage.folder / "calls").read_text().splitlines()]


def look_only(stage, variables, *arguments):
    """The modules that the first play of site.yml calls, and no other play."""
    site = yaml.safe_load((ROOT / "playbooks/site.yml").read_text())
    (stage.folder / "look.yml").write_text(json.dumps(site[:1]))
    return [module for module, _args in played(stage, variables, *arguments, "look.yml")[1]]


def asked(module, args):
    """One thing that is asked of a module, without what is so by default."""
    kept = {key: value for key, value in args.items() if not key.startswith("_ansible") and (key, value) != DEFAULT}
    return json.dumps([module, kept], sort_keys=True)


DEFAULT = ("state", "present")
# They look, and are no check of the stage's.
NO_CHECKS = ("compose_project_info", "compose_usage_info")


@pytest.mark.parametrize("ask", ASKS)
def test_it_asks_for_what_the_tasks_ask_for(stage, host, ask):
    variables = {**host, **ASKS[ask]}
    wanted = set()
    for name in STAGES:
        stages = stage.play(name, model=MODEL, check=True, **variables)
        assert not stages.work, stages.output
        wanted |= {asked(module, args) for module, args in stages.calls if module not in NO_CHECKS}
    _output, calls = played(stage, variables, SITE)
    (checks,) = [args["checks"] for module, args in calls if module == "plan_info"]
    assert {asked(check["module"], check["args"]) for check in checks} == wanted
    assert len(checks) == len(wanted)
    added = {
        entry["name"]: entry["definition"]
        for check in checks
        for entry in check["args"].get("services", [])
        if "definition" in entry
    }
    # The application's own image is no Redis for the cache.
    assert added["headroom-cache"]["image"] == "redis:7-alpine"


def test_with_nothing_to_do_no_stage_is_gone_through(stage, host):
    output, calls = played(stage, host, SITE)
    assert [module for module, _args in calls] == ["compose_project_info", "plan_info"]
    assert "All stages are in place" in output
    assert output.count("no hosts matched") == 4


def test_what_is_not_in_place_is_gone_through(stage, host):
    output, calls = played(stage, host, SITE, in_place=False)
    modules = [module for module, _args in calls]
    assert {"compose_limits", "sysctl_memory", "compose_added_service"} <= set(modules)
    assert "no hosts matched" not in output
    # The look at the project serves the stages too.
    assert modules.count("compose_project_info") == 1


def test_a_file_that_is_missing_is_seen_before_any_module_is_asked(stage, host):
    for lost in ("lib/bot/site/sitecustomize.py", "lib/bot/gateway/policy.toml", "etc/counters.conf", "images"):
        path = stage.folder / lost
        text = path.read_bytes()
        path.unlink()
        assert look_only(stage, host) == ["compose_project_info"], lost
        path.write_bytes(text)
    assert look_only(stage, host) == ["compose_project_info", "plan_info"]


def test_what_stage_3_refuses_is_left_to_it(stage, host):
    alone = {**MODEL["services"], "worker": {**MODEL["services"]["worker"], "network_mode": "none"}}
    (stage.folder / "model.json").write_text(json.dumps({**MODEL, "services": alone}))
    assert look_only(stage, host) == ["compose_project_info"]
    (stage.folder / "model.json").write_text(json.dumps(MODEL))
    (stage.folder / "ip").write_text('#!/bin/sh\necho \'[{"dst": "10.254.0.0/16"}]\'\n')
    assert look_only(stage, host) == ["compose_project_info"]
    (stage.folder / "ip").write_text("#!/bin/sh\necho '[]'\n")
    assert look_only(stage, host) == ["compose_project_info", "plan_info"]


@pytest.mark.parametrize("hosts", [["localhost"], "localhost,"])
def test_hosts_may_be_a_list_or_a_text(stage, host, hosts):
    assert "no hosts matched" in played(stage, {**host, "headroom_hosts": hosts}, SITE)[0]
    assert "Validating arguments" in played(stage, {**host, "headroom_hosts": hosts}, STAGE_1)[0]


def test_a_service_that_has_gone_from_the_files_and_still_runs_can_be_taken_back(stage, host):
    gone = {name: service for name, service in MODEL["services"].items() if name != "redis2"}
    (stage.folder / "model.json").write_text(json.dumps({**MODEL, "services": gone}))
    try:
        code, output = stage.ansible(*LOCAL, STAGE_1, **host, headroom_state="absent")
        assert code == 2 and "names redis2, which the project bot does" in " ".join(output.split())
        (stage.folder / "running").write_text("redis2")
        played(stage, {**host, "headroom_state": "absent"}, STAGE_1)
    finally:
        (stage.folder / "model.json").write_text(json.dumps(MODEL))
        (stage.folder / "running").write_text("")


def test_an_undo_and_a_check_go_through_the_stages(stage, host):
    assert look_only(stage, {**host, "headroom_state": "absent"}) == []
    assert look_only(stage, host, "--check") == []


def test_a_service_that_the_project_does_not_have_is_left_to_the_stages(stage, host):
    services = [*SERVICES, {"role": "bot", "service": "bto", "memory": "100M"}]
    assert look_only(stage, {**host, "headroom_services": services}) == ["compose_project_info"]
