# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module docker_daemon does, whoever calls it."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import EngineError
from ansible_collections.smallhost.headroom.plugins.module_utils.host import docker_settings, docker_task
from ansible_collections.smallhost.headroom.plugins.module_utils.host.daemon import DaemonError
from ansible_collections.smallhost.headroom.plugins.module_utils.host.daemon_json import DaemonJsonError
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import (
    UNDO_ARGUMENT_SPEC,
    Journal,
    JournalError,
)

SCOPE = "_host"
ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **UNDO_ARGUMENT_SPEC,
    "settings": {"type": "dict", "default": {}},
    "restart": {"type": "bool", "default": False},
    "pidfile": {"type": "path", "default": "/run/docker.pid"},
    "docker_host": {"type": "str"},
}


def run(module: AnsibleModule) -> dict[str, Any]:
    """Find the engine, lock the journal, and do what the state asks for."""
    params = module.params
    engine = docker_task.find(params["pidfile"], params["docker_host"])
    journal = Journal(SCOPE, params["state_dir"])
    with journal.opened(module.check_mode, params["lock_timeout"]):
        task = docker_task.Task(params, params["undo_key"] or "docker_daemon", journal, module.check_mode, engine)
        act = docker_settings.present if params["state"] == "present" else docker_settings.absent
        result = act(task)
    for warning in task.warnings:
        module.warn(warning)
    return result


def work(module: AnsibleModule) -> None:
    """End the task with its result or one clear message."""
    try:
        result = run(module)
    except (DaemonJsonError, DaemonError, EngineError, JournalError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'the undo journal'}: {error.strerror}.")
    module.exit_json(**result)
