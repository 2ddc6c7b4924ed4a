# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module compose_worker does, whoever calls it."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import CHANGE_ARGUMENT_SPEC, carry_out
from ansible_collections.smallhost.headroom.plugins.module_utils.worker.task import apply_workers, undo_workers

_VARIABLE: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "value": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **CHANGE_ARGUMENT_SPEC,
    "services": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "workers": {"type": "int"},
            "recycle_after": {"type": "int"},
            "result_ttl": {"type": "int"},
            "longest_job": {"type": "str"},
            "environment": {"type": "list", "elements": "dict", "default": [], "options": _VARIABLE},
        },
    },
    "history": {"type": "path"},
}


def work(module: AnsibleModule) -> None:
    """End the task with its result or one clear message."""
    carry_out(module, False, apply_workers, undo_workers)
