# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import parts
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import service as s
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.edit import Delete, Document, Set, edit
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.redis_flags import maxmemory_of

MIB = 1024 * 1024


def flag(name, value=None, state="present"):
    return {"name": name, "value": value, "state": state}


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("1m30s", 90), ("1h", 3600), ("500ms", 0.5)])
def test_durations(text, value):
    assert s.seconds(text) == value


@pytest.mark.parametrize("text", ["", "90", "soon", "1m x"])
def test_no_durations(text):
    with pytest.raises(ValueError, match="is not a duration"):
        s.seconds(text)


def test_a_flag_is_set_in_the_written_form_and_compared_in_the_effective_one():
    effective = {"command": ["uvicorn", "app:app", "--workers", "2"]}
    written = "uvicorn app:app --workers ${N:-2}"
    flags = [flag("--workers", "1")]
    (change,) = s.plan_flags("api", flags, effective, written)
    assert change.value == "uvicorn app:app --workers ${N:-1}"
    assert s.plan_flags("api", [flag("--workers", "2")], effective, written) == []
    (change,) = s.plan_flags("api", flags, effective, written, keep_interpolation=False)
    assert change.value == "uvicorn app:app --workers 1"


def test_flags_are_removed_and_switches_set():
    effective = {"command": ["uvicorn", "app:app", "--reload"]}
    (change,) = s.plan_flags("api", [flag("--reload"), flag("--proxy-headers", "")], effective, effective["command"])
    assert change.value == ["uvicorn", "app:app", "--proxy-headers"]
    assert s.unmet_flags([flag("--reload")], {"command": change.value}) == []
    assert s.unmet_flags([flag("--proxy-headers", "")], {"command": change.value}) == []


def test_without_a_command_there_is_no_flag_to_change():
    with pytest.raises(ValueError, match="has no command in the compose file"):
        s.plan_flags("api", [flag("--workers", "1")], {}, None)


def environment_after(text, wanted, effective):
    data = text.encode()
    changes = s.plan_environment("bot", wanted, {"environment": effective}, Document(data, "x"))
    return edit(data, changes, "x").decode(), changes


def test_environment_keeps_its_form():
    wanted = [flag("A", "2"), flag("B"), flag("C", "3")]
    listed = "services:\n  bot:\n    environment:\n      - A=1 # a\n      - B=1\n      - D\n"
    text, _changes = environment_after(listed, wanted, {"A": "1", "B": "1"})
    assert text == "services:\n  bot:\n    environment:\n      - A=2 # a\n      - D\n      - C=3\n"
    mapped = "services:\n  bot:\n    environment: {A: 1, B: 1}\n"
    text, _changes = environment_after(mapped, wanted, {"A": "1", "B": "1"})
    assert Document(text.encode(), "x").get(("services", "bot", "environment")) == {"A": "2", "C": "3"}


def test_environment_that_is_right_is_left_alone():
    _text, changes = environment_after("services:\n  bot: {image: x}\n", [flag("A", "a$$b"), flag("B")], {"A": "a$$b"})
    assert changes == []


def test_volumes_are_one_for_each_target_and_named_ones_are_declared():
    data = b"services:\n  bot:\n    volumes:\n      - ./a:/a\n      - old:/data\n"
    model = {"services": {"bot": {"volumes": [{"type": "bind", "source": "/p/a", "target": "/a"}]}}, "volumes": {}}
    wanted = [
        {"source": "new", "target": "/data", "read_only": True},
        {"source": None, "target": "/a", "state": "absent"},
    ]
    changes = s.plan_volumes("bot", wanted, model, Document(data, "x"))
    assert changes == [
        Set(("services", "bot", "volumes", 1), "new:/data:ro"),
        Set(("volumes", "new"), {}),
        Delete(("services", "bot", "volumes", 0)),
    ]


@pytest.mark.parametrize(
    ("item", "target"),
    [
        ("./a:/a:ro", "/a"),
        ("/data", "/data"),
        ("${ROOT:-/x}/a:/a", "/a"),
        ({"type": "bind", "source": "./a", "target": "/a"}, "/a"),
    ],
)
def test_the_target_of_a_written_volume(item, target):
    assert parts.name_of("volumes", item) == target


def test_scalars_are_compared_by_meaning():
    service = {"stop_grace_period": "1m30s", "image": "a:1", "restart": "always"}
    assert s.unmet_scalars({"stop_grace_period": "90s", "image": "a:1", "restart": None}, service) == []
    assert s.plan_scalars("bot", {"stop_grace_period": "2m", "image": "a:2"}, service) == [
        Set(("services", "bot", "image"), "a:2"),
        Set(("services", "bot", "stop_grace_period"), "2m"),
    ]


CONTAINER = {
    "Config": {"Cmd": ["sleep", "$HOME"], "Env": ["PATH=/bin", "A=1"], "Image": "a:1", "StopTimeout": 90},
    "HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}},
    "Mounts": [
        {"Type": "volume", "Name": "p_data", "Destination": "/data", "RW": True},
        {"Type": "bind", "Source": "/p/x", "Destination": "/x", "RW": False},
        {"Type": "volume", "Name": "0" * 64, "Destination": "/anonymous", "RW": True},
    ],
}
IMAGE = {"Config": {"Cmd": ["run"], "Env": ["PATH=/bin"]}}
SERVICE = {
    "command": ["sleep", "$$HOME"],
    "environment": {"A": "1"},
    "image": "a:1",
    "stop_grace_period": "1m30s",
    "restart": "on-failure:3",
    "volumes": [
        {"type": "volume", "source": "data", "target": "/data"},
        {"type": "bind", "source": "/p/x", "target": "/x", "read_only": True},
    ],
}
ASPECTS = ["command", "environment", "volumes", "image", "stop_grace_period", "restart"]


def pending(container=None, others=None, **changes):
    services = {"bot": {**SERVICE, **changes}, **(others or {})}
    model = {"services": services, "volumes": {"data": {"name": "p_data"}}}
    return s.pending(ASPECTS, model, "bot", container or CONTAINER, IMAGE)


def mounting(*binds):
    more = [{"Type": "bind", "Source": source, "Destination": target, "RW": False} for source, target in binds]
    return {**CONTAINER, "Mounts": [*CONTAINER["Mounts"], *more]}


def with_variables(*variables):
    return {**CONTAINER, "Config": {**CONTAINER["Config"], "Env": [*CONTAINER["Config"]["Env"], *variables]}}


def test_a_container_that_has_everything():
    assert pending() == []


@pytest.mark.parametrize(
    ("aspect", "value"),
    [
        ("command", ["sleep", "2"]),
        ("command", None),
        ("environment", {}),
        ("environment", {"A": "1", "B": "2"}),
        ("volumes", []),
        ("image", "a:2"),
        ("stop_grace_period", None),
        ("restart", None),
    ],
)
def test_each_thing_a_container_can_lack(aspect, value):
    assert pending(**{aspect: value}) == [aspect]


@pytest.mark.parametrize(
    ("listed", "target"),
    [
        ({"secrets": [{"source": "key"}]}, "/run/secrets/key"),
        ({"secrets": [{"source": "key", "target": "deep/key"}]}, "/run/secrets/deep/key"),
        ({"secrets": [{"source": "key", "target": "/etc/key"}]}, "/etc/key"),
        ({"configs": [{"source": "conf"}]}, "/conf"),
        ({"configs": [{"source": "conf", "target": "etc/conf"}]}, "/etc/conf"),
        ({"configs": [{"source": "conf", "target": "/etc/conf"}]}, "/etc/conf"),
        ({"volumes_from": ["db:ro"]}, "/db"),
        ({"volumes_from": ["db"]}, "/run/secrets/key"),
    ],
)
def test_mounts_that_volumes_do_not_list_are_no_difference(listed, target):
    db = {"volumes": [{"type": "bind", "source": "/p/k", "target": "/db"}], "secrets": [{"source": "key"}]}
    assert pending(mounting(("/p/k", target)), {"db": db}, **listed) == []
    assert pending(mounting(("/p/k", target)), {"db": db}) == ["volumes"]


def test_an_own_mount_in_a_secrets_place_is_compared():
    own = [*SERVICE["volumes"], {"type": "bind", "source": "/p/own", "target": "/run/secrets/key", "read_only": True}]
    listed = {"secrets": [{"source": "key"}], "volumes": own}
    assert pending(mounting(("/p/own", "/run/secrets/key")), **listed) == []
    assert pending(mounting(("/p/other", "/run/secrets/key")), **listed) == ["volumes"]
    assert pending(**listed) == ["volumes"]


def test_the_docker_client_s_proxies_are_no_difference_unless_the_service_sets_them():
    proxied = with_variables("HTTPS_PROXY=http://p:3128", "https_proxy=http://p:3128", "NO_PROXY=a", "no_proxy=a")
    assert pending(proxied) == []
    assert pending(proxied, environment={"A": "1", "NO_PROXY": "b"}) == ["environment"]
    assert pending(environment={"A": "1", "NO_PROXY": "b"}) == ["environment"]


@pytest.mark.parametrize("found", [["B"], ["B=2"], []])
def test_a_variable_without_a_value_is_compose_s_environment_s_to_give(found):
    assert pending(with_variables(*found), environment={"A": "1", "B": None}) == []


@pytest.mark.parametrize(
    ("service", "running", "expected"),
    [
        ({"command": ["redis-server", "--maxmemory", "64mb"]}, [], 64 * MIB),
        ({"command": ["redis-server", "--maxmemory", "1m"]}, [], 1_000_000),
        ({"command": ["redis-server"]}, [["redis-server", "--maxmemory", "64mb"]], None),
        ({}, [["redis-server", "--maxmemory", "64mb"], ["redis-server"]], 64 * MIB),
        ({"command": ["redis-server", "--maxmemory", "0"]}, [], None),
        ({"command": ["uvicorn", "--maxmemory", "64mb"]}, [], None),
        ({"command": ["valkey-server", "--maxmemory", "1gb"]}, [], 1024 * MIB),
        ({"command": ["sh", "-c", "exec redis-server --maxmemory 32mb"]}, [], 32 * MIB),
    ],
)
def test_maxmemory_of_the_command_line(service, running, expected):
    assert maxmemory_of(service, running) == expected
