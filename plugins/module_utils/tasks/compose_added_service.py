# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module compose_added_service does, whoever calls it."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.added_service_run import apply_added, undo_added
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import CHANGE_ARGUMENT_SPEC, carry_out

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **CHANGE_ARGUMENT_SPEC,
    "services": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "definition": {"type": "dict", "required": True},
        },
    },
    "networks": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "definition": {"type": "dict", "default": {}},
        },
    },
    "host_reserve": {"type": "str", "default": "auto"},
    "host_memory": {"type": "str"},
}


def work(module: AnsibleModule) -> None:
    """End the task with its result or one clear message."""
    carry_out(module, module.params["state"] == "absent", apply_added, undo_added)
