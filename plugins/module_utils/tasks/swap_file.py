# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module swap_file does, whoever calls it."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.host import swap_task
from ansible_collections.smallhost.headroom.plugins.module_utils.host.daemon import DaemonError
from ansible_collections.smallhost.headroom.plugins.module_utils.host.swap import SwapError
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import (
    UNDO_ARGUMENT_SPEC,
    Journal,
    JournalError,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.units import SizeError

SCOPE = "_host"
ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **UNDO_ARGUMENT_SPEC,
    "path": {"type": "path", "default": "/swapfile.headroom"},
    "size": {"type": "str", "default": "auto"},
}


def run(module: AnsibleModule) -> dict[str, Any]:
    """Lock the journal and do what the state asks for."""
    params = module.params
    journal = Journal(SCOPE, params["state_dir"])
    with journal.opened(module.check_mode, params["lock_timeout"]):
        task = swap_task.Task(params, params["undo_key"] or "swap_file", journal, module.check_mode)
        return swap_task.present(task) if params["state"] == "present" else swap_task.absent(task)


def work(module: AnsibleModule) -> None:
    """End the task with its result or one clear message."""
    try:
        result = run(module)
    except (SwapError, DaemonError, SizeError, JournalError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or module.params['path']}: {error.strerror}.")
    module.exit_json(**result)
