# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers in containers of a Compose project: found, bounded, recreated, taken back."""

from __future__ import annotations

import functools
import itertools
import os
import subprocess

import pytest
import redis
import rq
from conftest import IMAGE, bytes_of, cycle, docker

MB = 1024**2
PASSWORD = "p4ss-in-the-stack"

STAGE_ONE = """\
# the bot's stack
services:
  redis:
    image: IMAGE
    command: >   # a queue lives here
      redis-server
      --protected-mode no
      --appendonly yes
      --maxmemory 512mb
      --maxmemory-policy allkeys-lru
    mem_limit: 128M   # from the plan
    memswap_limit: 128M
    volumes: [data:/data]
volumes: {data: {}}
"""


def in_project(stack, service="redis"):
    return {"compose": {"project_src": str(stack.folder), "service": service, "files": [str(stack.file)]}}


def test_stage_one_on_a_redis_that_holds_a_queue(stack, run):
    project = stack(STAGE_ONE)
    queue = rq.Queue(
        "img_queue", connection=redis.Redis(host=project.client().connection_pool.connection_kwargs["host"])
    )
    for number in range(20):
        queue.enqueue("os.path.basename", f"/tmp/{number}")
    params = {**in_project(project), "maxmemory": "75%", "policy": "noeviction"}
    expected = {"maxmemory": str(96 * MB), "maxmemory-policy": "noeviction"}
    text = project.file.read_text()
    over = run({**params, "maxmemory": "512mb"})
    assert "512.0 MB leaves too little of the 128.0 MB" in over["msg"], over
    unsafe = run({**params, "policy": "allkeys-lru"})
    assert "RQ (22 keys, 20 waiting jobs in database 0)" in unsafe["msg"], unsafe
    first = cycle(run, params, project.client, expected, [project.file], project.recreate)
    assert first["before"] == {"maxmemory": str(512 * MB), "maxmemory-policy": "allkeys-lru"}
    assert (first["persisted_via"], first["files_changed"]) == ("compose", [str(project.file)])
    assert (first["recreate_pending"], first["recreate_at_next_up"]) == ([], ["redis"])
    assert first["room"]["limit"] == 128 * MB and first["room"]["fits"]
    assert first["purpose_found"]["purpose"] == "queue"
    assert project.file.read_text() == text
    assert project.client().llen("rq:queue:img_queue") == 20
    # Applied once more, only these two values are written.
    run(params)
    wanted = text.replace("512mb", "96mb").replace("allkeys-lru", "noeviction")
    assert project.file.read_text() == wanted


FORMS = {
    "list": 'command: ["redis-server", "--protected-mode", "no", "--save", "60", "1"]',
    "shell": "command: sh -c \"exec redis-server --requirepass $$REDIS_PASSWORD --save '60 1'\"",
    "flags only": "command: --requirepass ${REDIS_PASSWORD} --maxmemory 200mb",
    "image's own": "environment: {}",
    "entrypoint": "entrypoint: [redis-server]\n    command: [--requirepass, p4ss-in-the-stack]",
    "default in a variable": "command: redis-server --requirepass p4ss-in-the-stack --maxmemory ${REDIS_MAX:-300mb}",
    "variable that is set": "command: redis-server --requirepass p4ss-in-the-stack --maxmemory ${FROM_ENV:-300mb}",
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_a_command(form, stack, run):
    text = "services:\n  redis:\n    image: IMAGE\n    mem_limit: 100M\n"
    text += "    " + FORMS[form] + "\n"
    if form != "image's own":
        text += f"    environment:\n      REDIS_PASSWORD: {PASSWORD}\n"
    project = stack(text, files={".env": f"REDIS_PASSWORD={PASSWORD}\nFROM_ENV=250mb\n"})
    open_to_all = form in ("list", "image's own")
    client = functools.partial(project.client, password=None if open_to_all else PASSWORD)
    if form == "image's own":  # protected mode refuses the container's address: only its own loopback is left
        client = functools.partial(Inside, project)
    params = {**in_project(project), "maxmemory": "60mb", "policy": "noeviction"}
    first = cycle(run, params, client, {"maxmemory": str(60 * MB)}, [project.file], project.recreate)
    assert first["persisted_via"] == "compose"
    assert not [output for output in run.outputs if PASSWORD in output]
    if form == "default in a variable":
        run(params)
        assert "--maxmemory ${REDIS_MAX:-60mb}" in project.file.read_text()


class Inside:
    """CONFIG GET through redis-cli inside the container."""

    def __init__(self, project) -> None:
        self.project = project

    def config_get(self, pattern: str) -> dict[str, str]:
        words = self.project.cli("config", "get", pattern).split("\n")
        return dict(itertools.zip_longest(words[::2], words[1::2], fillvalue=""))  # a last empty value is stripped off


@pytest.mark.parametrize("mode", ["rw", "ro"])
def test_a_bind_mounted_configuration_file(mode, stack, run):
    """It is edited on the host and keeps its inode, which is what is mounted."""
    conf = f"# ours\nrequirepass {PASSWORD}\nmaxmemory 200mb\nsave 60 1\n"
    text = f"""\
services:
  redis:
    image: IMAGE
    command: [redis-server, /etc/redis.conf]
    volumes: ["./redis.conf:/etc/redis.conf:{mode}"]
    mem_limit: 100M
"""
    project = stack(text, files={"redis.conf": conf})
    path = project.folder / "redis.conf"
    inode = path.stat().st_ino
    client = functools.partial(project.client, password=PASSWORD)
    params = {**in_project(project), "maxmemory": "60mb", "policy": "noeviction"}
    first = cycle(run, params, client, {"maxmemory": str(60 * MB)}, [path, project.file], project.recreate)
    assert (first["persisted_via"], first["files_changed"]) == ("rewrite", [str(path)])
    assert path.stat().st_ino == inode
    run(params)
    inside = docker(
        "exec", project.container, "sh", "-c", 'while read -r line; do echo "$line"; done < /etc/redis.conf'
    )
    assert "maxmemory 60mb" in inside, "the container sees another file"
    assert not [output for output in run.outputs if PASSWORD in output]


def test_a_flag_beats_the_configuration_file(stack, run):
    text = """\
services:
  redis:
    image: IMAGE
    command: redis-server /etc/redis.conf --maxmemory 200mb --protected-mode no
    volumes: ["./redis.conf:/etc/redis.conf:ro"]
"""
    project = stack(text, files={"redis.conf": "maxmemory 100mb\n"})
    refused = run({**in_project(project), "maxmemory": "60mb", "persist": "rewrite"})
    assert "he command line sets maxmemory" in refused["msg"], refused
    result = run({**in_project(project), "maxmemory": "60mb"}, check=True)
    assert (result["persisted_via"], result["files_changed"]) == ("compose", [str(project.file)])


def test_no_network_and_a_password_in_a_secret(stack, run):
    text = """\
services:
  redis:
    image: IMAGE
    command: sh -c 'read -r word < /run/secrets/redis_password; exec redis-server --requirepass "$$word"'
    network_mode: none
    secrets: [redis_password]
    environment: {REDIS_PASSWORD_FILE: /run/secrets/redis_password}
secrets:
  redis_password: {file: ./password}
"""
    project = stack(text, files={"password": PASSWORD + "\n"})
    params = {**in_project(project), "maxmemory": "60mb"}
    result = run(params)
    assert result.get("changed"), result
    assert "inside the container" in result["server"]["address"]
    assert result["server"]["login"] == "the environment's REDIS_PASSWORD_FILE"
    assert run(params)["changed"] is False
    assert run({**params, "state": "absent"})["changed"]
    assert not [output for output in run.outputs if PASSWORD in output]


def test_host_network_override_file_and_acl_user(stack, run):
    from conftest import free_port

    port = free_port()
    text = f"""\
services:
  redis:
    image: IMAGE
    network_mode: host
    command: redis-server --port {port} --user default off --user admin on >{PASSWORD} ~* &* +@all
"""
    quoted = text.replace(f">{PASSWORD} ~* &* +@all", f"'>{PASSWORD}' '~*' '&*' +@all")
    folder_files = {"docker-compose.override.yml": "services:\n  redis:\n    labels: {mine: 'yes'}\n"}
    project = stack(quoted, files=folder_files, port=port)
    params = {"container": project.container, "maxmemory": "60mb"}
    first = run(params)
    assert first.get("changed"), first
    assert first["server"]["login"] == "the ACL user admin"
    assert first["persisted_via"] == "compose"
    assert PASSWORD in project.file.read_text()
    assert run(params)["changed"] is False
    assert run({**params, "state": "absent"})["changed"]
    assert project.file.read_text() == quoted.replace("IMAGE", IMAGE)
    assert not [output for output in run.outputs if PASSWORD in output]


def test_a_container_without_a_project(image, run):
    name = f"hb-alone-{os.getpid()}"
    docker("run", "-d", "--name", name, "--memory", "64m", image, "redis-server", "--save", "")
    try:
        params = {"container": name, "maxmemory": "50%", "policy": "noeviction"}
        result = run(params)
        assert result.get("changed"), result
        assert result["after"]["maxmemory"] == str(32 * MB)
        assert (result["persisted_via"], result["room"]["source"]) == ("none", f"the container {name}")
        assert run(params)["changed"] is False
        assert run({**params, "state": "absent"})["changed"]
    finally:
        subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)
    assert "is not running" in run(params)["msg"] or "does not exist" in run(params)["msg"]


def test_errors_touch_nothing(stack, run):
    project = stack("services:\n  redis:\n    image: IMAGE\n    command: [redis-server, --protected-mode, 'no']\n")
    texts = bytes_of(project.file)
    assert "no service 'rediss'" in run({**in_project(project, "rediss"), "maxmemory": "60mb"})["msg"]
    assert "not a size" in run({**in_project(project), "maxmemory": "lots"})["msg"]
    assert (
        "needs a configuration file" in run({**in_project(project), "maxmemory": "60mb", "persist": "rewrite"})["msg"]
    )
    project.down()
    assert "does not run" in run({**in_project(project), "maxmemory": "60mb"})["msg"]
    assert bytes_of(project.file) == texts
