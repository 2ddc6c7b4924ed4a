# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module systemd_settings does, whoever calls it."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.host import systemd_task
from ansible_collections.smallhost.headroom.plugins.module_utils.host.daemon import DaemonError
from ansible_collections.smallhost.headroom.plugins.module_utils.host.systemd_conf import ConfError
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import (
    UNDO_ARGUMENT_SPEC,
    Journal,
    JournalError,
)

SCOPE = "_host"
ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **UNDO_ARGUMENT_SPEC,
    "conf": {"type": "str", "choices": ["journald", "system"], "required": True},
    "settings": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"name": {"type": "str", "required": True}, "value": {"type": "str", "required": True}},
    },
    "name": {"type": "str", "default": "90-headroom.conf"},
}


def run(module: AnsibleModule) -> dict[str, Any]:
    """Lock the journal and do what the state asks for."""
    params = module.params
    journal = Journal(SCOPE, params["state_dir"])
    with journal.opened(module.check_mode, params["lock_timeout"]):
        task = systemd_task.Task(params, params["undo_key"] or "systemd_settings", journal, module.check_mode)
        act = systemd_task.present if params["state"] == "present" else systemd_task.absent
        result = act(task)
    for warning in task.warnings:
        module.warn(warning)
    return result


def work(module: AnsibleModule) -> None:
    """End the task with its result or one clear message."""
    try:
        result = run(module)
    except (ConfError, DaemonError, JournalError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'the undo journal'}: {error.strerror}.")
    module.exit_json(**result)
