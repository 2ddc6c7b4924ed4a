# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stage 1 on input that it cannot work with: one clear error, and a host that is as it was."""

from __future__ import annotations

import contextlib
import re

import pytest
import yaml

from sandbox import fingerprint, playbook, ssh
from sandbox.environment import ROOT
from sandbox.stack import TARGET
from sandbox.stack import host as stack_host
from sandbox.stack_images import PROJECT


@pytest.fixture(scope="module")
def prepared(instance):
    done = playbook.run(instance, "prepare", ROOT)
    assert done.returncode == 0, done.stdout
    return instance


def refusal(instance, **variables):
    """Run stage 1 and return its one error message."""
    done = playbook.run(instance, "stage1", ROOT, variables)
    assert done.returncode == 2, done.stdout
    (message,) = playbook.failures(done.stdout)
    assert "Traceback" not in done.stdout
    assert "changed=0" in done.stdout
    return message


@contextlib.contextmanager
def untouched(instance):
    before = fingerprint.take(instance, PROJECT, TARGET)
    yield
    assert fingerprint.differences(before, fingerprint.take(instance, PROJECT, TARGET), same_containers=True) == []
    assert ssh.execute(instance, "ls -A /var/lib/headroom/*/undo.json 2> /dev/null || true") == ""


def test_misspelt_service_is_named_with_those_that_exist(prepared):
    services = yaml.safe_load(playbook.VARIABLES.read_text())["headroom_services"]
    services[0]["service"] = "bott"
    with untouched(prepared):
        message = refusal(prepared, headroom_services=services)
    assert "bott" in message
    for name in ("api", "bot", "redis", "worker-image"):
        assert name in message


def test_missing_project_folder_is_named(prepared):
    with untouched(prepared):
        message = refusal(prepared, headroom_project_src="/opt/nowhere")
    assert "/opt/nowhere does not exist" in message


def test_compose_file_that_is_no_yaml_is_named_with_its_line(prepared):
    ssh.execute(
        prepared, "mkdir -p /opt/broken && cat > /opt/broken/compose.yaml", stdin=b"services:\n  bot: {image: [\n"
    )
    with untouched(prepared):
        message = refusal(prepared, headroom_project_src="/opt/broken")
    assert "/opt/broken/compose.yaml" in message
    assert re.search(r"\bline \d|yaml:\d", message), message


def test_stopped_engine_is_said(prepared):
    before = fingerprint.take(prepared, PROJECT, TARGET)
    # A worker that goes down with its Redis leaves its name behind, and cannot start under it again for minutes.
    ssh.execute(prepared, "docker stop imagebot-worker-image && systemctl stop docker.socket docker.service")
    try:
        message = refusal(prepared)
    finally:
        ssh.execute(prepared, "systemctl start docker.socket docker.service")
        ssh.wait_for_engine(prepared)
        ssh.execute(prepared, "docker start imagebot-worker-image")
    assert re.search("Docker|engine", message), message
    stack_host.deploy.wait_until_healthy(prepared)
    after = fingerprint.take(prepared, PROJECT, TARGET)
    assert fingerprint.differences(before, after, same_containers=False) == []
