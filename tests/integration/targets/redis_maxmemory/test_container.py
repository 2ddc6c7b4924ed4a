# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers in containers of a Compose project: found, bounded, recreated, taken back."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import subprocess
from pathlib import Path

import pytest
import redis
import rq
from conftest import bytes_of, cycle, docker

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
    params = {**in_project(project), "maxmemory": "60mb", "policy": "noeviction"}
    files = [project.file, project.folder / "redis.conf"]
    first = cycle(run, params, project.client, {"maxmemory": str(60 * MB)}, files, project.recreate)
    assert (first["persisted_via"], first["files_changed"]) == ("compose", [str(project.file)])


HOMES = {
    "no file": ("[redis-server, --protected-mode, 'no']", None),
    "read-only file": ("[redis-server, /etc/redis.conf]", "ro"),
    "bind-mounted file": ("[redis-server, /etc/redis.conf]", "rw"),
}


@pytest.mark.parametrize("home", HOMES)
def test_each_version_in_a_container(home, each_server, stack, image_of, run):
    command, mode = HOMES[home]
    text = f"services:\n  redis:\n    image: IMAGE\n    command: {command}\n    mem_limit: 100M\n"
    if mode:
        text += f'    volumes: ["./redis.conf:/etc/redis.conf:{mode}"]\n'
    project = stack(text, files={"redis.conf": "protected-mode no\nmaxmemory 200mb\n"}, of=image_of(each_server[0]))
    params = {**in_project(project), "maxmemory": "60mb", "policy": "noeviction"}
    files = [project.file, project.folder / "redis.conf"]
    first = cycle(run, params, project.client, {"maxmemory": str(60 * MB)}, files, project.recreate)
    assert first["persisted_via"] == ("rewrite" if mode else "compose")
    product, version = each_server[0].split("-")
    assert first["server"]["name"] == f"{product.capitalize()} {version}"


def test_a_configuration_file_in_a_volume(stack, image, run):
    volume = f"hb-conf-{os.getpid()}"
    docker("volume", "create", volume)
    try:
        fill = "echo 'protected-mode no' > /c/redis.conf; echo 'maxmemory 200mb' >> /c/redis.conf"
        docker("run", "--rm", "-v", f"{volume}:/c", image, "sh", "-c", fill)
        text = f"""\
services:
  redis:
    image: IMAGE
    command: [redis-server, /etc/redis/redis.conf]
    volumes: ["conf:/etc/redis"]
volumes: {{conf: {{external: true, name: {volume}}}}}
"""
        project = stack(text)
        path = Path(docker("volume", "inspect", "-f", "{{.Mountpoint}}", volume)) / "redis.conf"
        params = {**in_project(project), "maxmemory": "60mb", "policy": "noeviction"}
        files = [path, project.file]
        first = cycle(run, params, project.client, {"maxmemory": str(60 * MB)}, files, project.recreate)
        assert (first["persisted_via"], first["files_changed"]) == ("rewrite", [str(path)])
        project.down()
    finally:
        subprocess.run(["docker", "volume", "rm", volume], capture_output=True, check=False)


def test_a_configuration_file_in_the_containers_own_layer(stack, run):
    """It goes with the container, so the compose file is better; where it is wanted, the server itself writes it."""
    path = f"/tmp/hb-redis-{os.getpid()}.conf"
    script = f"echo 'maxmemory 200mb' > {path}; exec redis-server {path} --protected-mode no"
    project = stack(f'services:\n  redis:\n    image: IMAGE\n    command: ["sh", "-c", "{script}"]\n')
    params = {**in_project(project), "maxmemory": "60mb", "persist": "rewrite"}
    result = run(params)
    assert result.get("changed"), result
    assert (result["persisted_via"], result["files_changed"]) == ("rewrite", [path])
    assert not Path(path).exists()
    look = ("exec", project.container, "sh", "-c", f'while read -r line; do echo "$line"; done < {path}')
    assert "maxmemory 60mb" in docker(*look).lower()
    assert run({**params, "state": "absent"})["changed"]
    assert "maxmemory 200mb" in docker(*look).lower()
    assert project.client().config_get("maxmemory")["maxmemory"] == str(200 * MB)


def test_a_compose_file_that_cannot_be_written(stack, run, tmp_path):
    """A full disk: what was set live is put back, and nothing is remembered of a run that did nothing."""
    folder = tmp_path / "project"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        project = stack("services:\n  redis:\n    image: IMAGE\n    command: [redis-server, --protected-mode, 'no']\n")
        with contextlib.suppress(OSError), open(folder / "filler", "wb") as filler:
            filler.write(b"x" * 1024**2)
        before, texts = project.client().config_get("*"), bytes_of(project.file)
        params = {**in_project(project), "maxmemory": "60mb", "policy": "volatile-lru"}
        failed = run(params)
        assert failed.get("failed") and "No space left on device" in failed["msg"], failed
        assert project.client().config_get("*") == before
        assert bytes_of(project.file) == texts
        (folder / "filler").unlink()
        assert run({**params, "state": "absent"})["changed"] is False
        project.down()
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_service_that_does_not_run_gets_its_file_back(stack, run):
    project = stack("services:\n  redis:\n    image: IMAGE\n    command: [redis-server, --protected-mode, 'no']\n")
    texts = bytes_of(project.file)
    params = {**in_project(project), "maxmemory": "60mb"}
    assert run(params)["changed"]
    docker("stop", "-t", "1", project.container)
    undo = {**params, "state": "absent"}
    assert run(undo, check=True)["changed"] and bytes_of(project.file) != texts
    undone = run(undo)
    assert undone["changed"] and "does not run" in str(undone["warnings"])
    assert bytes_of(project.file) == texts
    assert run(undo)["changed"] is False
    project.up()
    assert project.client().config_get("maxmemory")["maxmemory"] == "0"


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


def test_host_network_override_file_and_acl_user(stack, image, run):
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
    assert project.file.read_text() == quoted.replace("IMAGE", image)
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
