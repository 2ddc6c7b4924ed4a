# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module compose_limits does, whoever calls it."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.apply import apply_limits
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.undo import undo_limits
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import CHANGE_ARGUMENT_SPEC, carry_out

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **CHANGE_ARGUMENT_SPEC,
    "services": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "memory": {"type": "str"},
            "memory_reservation": {"type": "str"},
            "memory_swap": {"type": "str"},
            "cpus": {"type": "float"},
            "pids": {"type": "int"},
            "redis_maxmemory": {"type": "str"},
        },
    },
    "fit": {"type": "str", "choices": ["refuse", "raise", "force"], "default": "refuse"},
    "host_reserve": {"type": "str", "default": "auto"},
    "host_memory": {"type": "str"},
    "apply": {"type": "str", "choices": ["live", "file"], "default": "live"},
}


def work(module: AnsibleModule) -> None:
    """End the task with its result or one clear message."""
    carry_out(module, module.params["apply"] == "live", apply_limits, undo_limits)
