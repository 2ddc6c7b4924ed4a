# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.images import (
    build,
    plan,
    prune,
    sizes,
    store,
    trial,
    unused,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.images.trial import Outcome


def layer(name, size):
    return {"Created": 1, "CreatedBy": name, "Size": size}


def test_shared_layers_count_once_and_only_at_the_beginning():
    base = [layer("base", 100)]
    one = [layer("app", 5), layer("deps", 50), *base]
    two = [layer("app", 5), layer("other", 40), *base]
    assert sizes.unique_bytes([one]) == 155
    assert sizes.unique_bytes([one, one]) == 155
    assert sizes.unique_bytes([one, two]) == 200


GOOD = Outcome(True, None, "healthy", ())


@pytest.mark.parametrize(
    ("old", "new", "fine"),
    [
        (GOOD, GOOD, True),
        (GOOD, Outcome(True, None, "starting", ()), False),
        (GOOD, Outcome(False, 1, None, (), "boom"), False),
        (Outcome(False, 1, None, ("x: not found",)), Outcome(False, 1, None, ("x: not found",)), True),
        (Outcome(False, 1, None, ()), Outcome(False, 127, None, ()), False),
        (Outcome(False, 1, None, ()), Outcome(False, 1, None, ("ImportError: libpq.so.5",)), False),
        (Outcome(False, 1, None, ()), Outcome(True, None, None, ()), True),
        (Outcome(True, None, "unhealthy", ()), Outcome(True, None, "unhealthy", ()), True),
    ],
)
def test_the_new_image_must_not_do_worse(old, new, fine):
    assert (trial.worse(old, new) is None) == fine


def found(**changes):
    whole = {"packages": {"a": "1"}, "programs": {"curl": True}, "unresolved": [], "imports": {"a": ""}}
    return {**whole, **changes}


@pytest.mark.parametrize(
    ("new", "word"),
    [
        (found(), None),
        (found(imports={"a": "ImportError: x"}), "import a"),
        (found(unresolved=["libpq.so.5"]), "libpq"),
        (found(packages={}), "packages"),
        (found(programs={"curl": False}), "curl"),
    ],
)
def test_what_the_new_image_lacks_is_named(new, word):
    problem = trial.lacking(found(), new, [])
    assert problem is None if word is None else word in problem
    assert trial.lacking(found(imports={"a": "ImportError: y"}), found(imports={"a": "ImportError: y"}), []) is None


def test_versions_that_differ_are_told():
    assert trial.other_versions(found(), found(packages={"a": "2"})) == ["a 1 -> 2"]


def test_a_trial_has_no_network_no_volume_and_reads_only():
    container = {
        "Config": {"Cmd": ["x"], "Entrypoint": None, "Env": ["A=1"], "User": "", "WorkingDir": "/", "Tty": False,
                   "Healthcheck": {"Test": ["CMD", "true"], "Interval": 30}},
        "HostConfig": {"Tmpfs": None},
        "Mounts": [
            {"Type": "volume", "Name": "data", "Source": "/v", "Destination": "/data", "RW": True},
            {"Type": "bind", "Source": "/etc/app", "Destination": "/config", "RW": True},
            {"Type": "bind", "Source": "/var/run/docker.sock", "Destination": "/var/run/docker.sock", "RW": True},
        ],
    }  # fmt: skip
    made = trial.body("new", container, 1000)
    assert made["HostConfig"]["NetworkMode"] == "none"
    assert made["HostConfig"]["Binds"] == ["/etc/app:/config:ro"]
    assert made["HostConfig"]["Memory"] == 1000
    assert made["Image"] == "new"


def test_log_pieces_have_their_headers_taken_off():
    framed = b"\x01\0\0\0\0\0\0\x03abc\x02\0\0\0\0\0\0\x02de"
    assert store.unframed(framed) == b"abcde"
    assert store.unframed(b"plain text of a terminal") == b"plain text of a terminal"


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("app", "app:headroom"),
        ("app:1.2", "app:1.2-headroom"),
        ("host:5000/x/app", "host:5000/x/app:headroom"),
        ("host:5000/x/app:2", "host:5000/x/app:2-headroom"),
    ],
)
def test_names_of_new_images(name, ours):
    assert store.of_ours(name, "headroom") == ours


def test_a_failed_build_is_named_by_its_own_words():
    output = "Step 3/9 : RUN echo error\n#5 CACHED\n\x1b[91mERROR: No matching distribution found for y==1\x1b[0m\n"
    assert build.reason(output) == "ERROR: No matching distribution found for y==1"
    assert len(build.reason("error " * 500)) < 500


def test_the_classic_builders_containers_are_known():
    output = "Step 2/3 : RUN a\n ---> Running in 0123456789ab\nRemoving intermediate container 0123456789ab\n"
    assert build.containers(output + " ---> Running in ba9876543210\nfailed\n") == ("0123456789ab", "ba9876543210")


def test_the_build_is_the_services_own_with_another_dockerfile():
    section = {"context": "/x", "dockerfile": "Dockerfile", "args": {"A": "1"}, "labels": ["l=1"]}
    order = build.Order("p", "/x", "api", section, {}, "api:c", "/tmp/D", {"h": "2"}, "host")
    service = json.loads(build.compose_text(order))["services"]["api"]
    assert service["image"] == "api:c"
    assert service["build"] == {
        "context": "/x", "dockerfile": "/tmp/D", "args": {"A": "1"}, "labels": {"l": "1", "h": "2"}, "network": "host",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("FROM a\nRUN --mount=type=cache,target=/x true\n", True),
        ("# syntax=docker/dockerfile:1\nFROM a\n", True),
        ("FROM a\nRUN true\nCOPY --chown=a b c\n", False),
    ],
)
def test_what_only_buildkit_can_do(text, needed):
    assert build.needs_buildkit(text) == needed


def test_the_newest_stage_of_each_beginning_is_kept():
    def stage(name, beginning, created):
        return {"Id": name, "Labels": {prune.STAGE_LABEL: beginning}, "Created": created}

    now = 100 * 24 * 3600
    images = [stage("a2", "a", now - 10), stage("a1", "a", now - 20), stage("b", "b", now - 15 * 24 * 3600)]
    assert prune.superseded(images, now, scarce=False) == ["a1", "b"]
    assert prune.superseded(images, now, scarce=True) == ["a2", "a1", "b"]


def test_deptry_speaks_and_programs_that_are_started_are_used():
    rows = [{"module": name, "error": {"code": "DEP002"}} for name in ("pandas", "uvicorn", "gunicorn")]
    log = f"x\nheadroom-unused: {json.dumps(rows)}\n"
    assert unused.found(log, ["/usr/local/bin/gunicorn", "uvicorn", "app:x"]) == ["pandas"]
    assert unused.found("ERROR: no network\n", []) is None


def test_services_that_are_left_alone_are_told_from_those_that_are_pulled(tmp_path):
    model = {
        "name": "p",
        "services": {
            "redis": {"image": "redis:7"},
            "api": {"build": {"context": str(tmp_path), "target": "dev"}},
            "bot": {"build": {"context": str(tmp_path / "gone")}},
            "web": {"build": {"context": str(tmp_path)}},
            "ok": {"build": {"context": str(tmp_path), "dockerfile": "d/Dockerfile.headroom"}, "image": "x:headroom"},
        },
    }
    services = {entry.name: entry for entry in plan.survey(model, [], ["web"])}
    assert services["redis"].pulled
    assert "redis:7-alpine" in plan.pulled_note(services["redis"])
    assert "target" in services["api"].reason
    assert "no folder" in services["bot"].reason
    assert "operator" in services["web"].reason
    assert services["ok"].reason is None
    assert services["ok"].original == "d/Dockerfile"
    assert services["ok"].ours == "d/Dockerfile.headroom"
