# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module redis_maxmemory does, whoever calls it."""

from __future__ import annotations

import contextlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.smallhost.headroom.plugins.module_utils import docker_engine, project_task
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.project import WRITE_ARGUMENT_SPEC
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import UNDO_ARGUMENT_SPEC, Journal
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import place as redis_place
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import run as redis_run
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import server as redis_server
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import values as redis_values
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.queues import POLICIES

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **WRITE_ARGUMENT_SPEC,
    **UNDO_ARGUMENT_SPEC,
    "compose": {
        "type": "dict",
        "options": {
            "project_src": {"type": "path", "required": True},
            "service": {"type": "str"},
            "project_name": {"type": "str"},
            "files": {"type": "list", "elements": "str", "default": []},
            "docker_host": {"type": "str"},
        },
    },
    "container": {"type": "str"},
    "host": {"type": "str", "default": "127.0.0.1"},
    "port": {"type": "int", "default": 6379},
    "unix_socket": {"type": "path"},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "tls": {"type": "bool", "default": False},
    "ca_certs": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    "validate_certs": {"type": "bool", "default": True},
    "maxmemory": {"type": "str"},
    "policy": {"type": "str", "choices": list(POLICIES)},
    "purpose": {"type": "str", "choices": ["auto", "queue", "cache", "mixed"], "default": "auto"},
    "settings": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"name": {"type": "str", "required": True}, "value": {"type": "raw", "required": True}},
    },
    "persist": {"type": "str", "choices": ["auto", "rewrite", "compose", "none"], "default": "auto"},
    "memory_limit": {"type": "str"},
    "allow_job_eviction": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
    "timeout": {"type": "int", "default": 30},
}
CONSTRAINTS: dict[str, Any] = {
    "mutually_exclusive": [("compose", "container", "unix_socket")],
    "required_together": [("client_cert", "client_key")],
}


def run(module: AnsibleModule) -> dict[str, Any]:
    """Do what the state asks for, with the server that is meant or with all that the undo_key has changed."""
    wanted, owner = module.params["compose"], module.params["undo_key"] or "redis_maxmemory"
    if not wanted or wanted["service"]:
        return run_one(module, module.params, owner, redis_place.find(module.params))
    if module.params["state"] == "present":
        raise redis_server.RedisError("compose: the service is missing. Nothing was changed. Name the one to bound.")
    project = project_task.find_project(wanted, docker_engine.Engine(wanted["docker_host"]))
    journal = Journal(project.name, module.params["state_dir"]).read_only()
    results = []
    for service in redis_run.changed_services(journal, owner):
        params = {**module.params, "compose": {**wanted, "service": service}}
        results.append(run_one(module, params, owner, redis_place.find(params, filed=True)))
    lists = ("files_changed", "undone", "recreate_pending", "recreate_at_next_up", "diff")
    gathered = {key: [entry for result in results for entry in result[key]] for key in lists}
    return {**gathered, "changed": any(result["changed"] for result in results), "servers": results}


def run_one(module: AnsibleModule, params: dict[str, Any], owner: str, place: redis_place.Place) -> dict[str, Any]:
    """Lock the journal, connect to the server that was found, and do what the state asks for."""
    module.no_log_values.update(place.secrets() | redis_values.secrets(params["settings"]))
    journal = Journal(place.scope, params["state_dir"])
    with contextlib.ExitStack() as stack:
        stack.enter_context(journal.opened(module.check_mode, params["lock_timeout"]))
        server = redis_run.reach(place, params["timeout"])
        stack.callback(server.close)
        task = redis_run.Task(params, module.check_mode, owner, place, server, journal, list(place.warnings))
        result = redis_run.present(task) if params["state"] == "present" else redis_run.absent(task)
    for warning in task.warnings:
        module.warn(warning)
    return result


def work(module: AnsibleModule) -> None:
    """End the task with its result or one clear message."""
    if not redis_server.HAS_REDIS:
        module.fail_json(msg=missing_required_lib("redis (python3-redis)"), exception=redis_server.REDIS_IMPORT_ERROR)
    try:
        result = run(module)
    except (*redis_run.ERRORS, *project_task.ERRORS) as error:
        project_task.fail(module, error)
    module.exit_json(**result)
