# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A project that Compose finds by itself: the stage makes the override file, and its undo takes it away again.

Both times Compose has to restart with the files as they are then, not as they were when the run began.
"""

from __future__ import annotations

import json

import pytest

from sandbox import playbook, ssh

FOLDER, CONTAINER = "/opt/discovered", "discovered-api-1"
COMPOSE = b"""\
services:
  api:  # the only one
    image: deploy-api
    command: uvicorn starlette.applications:Starlette --factory --workers 2
    network_mode: bridge
"""
VARIABLES = {
    "headroom_project_src": FOLDER,
    "headroom_services": [{"role": "api", "service": "api", "memory": "200M", "workers": 1}],
    "headroom_guard_seconds": 0,
}


@pytest.fixture
def project(instance, tmp_path):
    done = playbook.run(instance, "prepare", tmp_path)
    assert done.returncode == 0, done.stdout
    ssh.execute(instance, f"mkdir -p {FOLDER} && cat > {FOLDER}/compose.yaml", stdin=COMPOSE)
    ssh.execute(instance, f"cd {FOLDER} && docker compose up --detach --pull never 2>&1")
    yield instance
    ssh.execute(instance, f"cd {FOLDER} && docker compose down 2>&1; rm -r {FOLDER} /var/lib/headroom/discovered")


def seen(instance):
    """Files of the folder, command and limit of the container."""
    found = json.loads(ssh.execute(instance, f"docker inspect {CONTAINER}"))[0]
    return {
        "files": ssh.execute(instance, f"cd {FOLDER} && sha256sum *").splitlines(),
        "command": " ".join(found["Config"]["Cmd"]),
        "limit": found["HostConfig"]["Memory"],
    }


def well(instance, folder, name, **more):
    done = playbook.run(instance, name, folder, {**VARIABLES, **more})
    assert done.returncode == 0, done.stdout[-5000:]
    return playbook.changed(done.stdout)


def test_the_override_file_comes_into_force_and_goes(project, tmp_path):
    before = seen(project)
    assert well(project, tmp_path, "stage1") > 0
    now = seen(project)
    assert [line.split()[1] for line in now["files"]] == ["compose.override.yaml", "compose.yaml"]
    assert before["files"][0] in now["files"]
    assert now["command"] == before["command"].replace("--workers 2", "--workers 1")
    assert now["limit"] == 200 * 1024**2
    assert well(project, tmp_path, "stage1") == 0
    assert seen(project) == now
    assert well(project, tmp_path, "rollback", stage=1) > 0
    assert seen(project) == before
