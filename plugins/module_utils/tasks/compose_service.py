# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module compose_service does, whoever calls it."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import CHANGE_ARGUMENT_SPEC, carry_out
from ansible_collections.smallhost.headroom.plugins.module_utils.service_run import apply_services, undo_services

_STATE: dict[str, Any] = {"type": "str", "choices": ["present", "absent"], "default": "present"}
_SETTING: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "value": {"type": "str"},
    "state": _STATE,
}
_VOLUME: dict[str, dict[str, Any]] = {
    "source": {"type": "str"},
    "target": {"type": "str", "required": True},
    "read_only": {"type": "bool", "default": False},
    "state": _STATE,
}
ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **CHANGE_ARGUMENT_SPEC,
    "services": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "command_flags": {"type": "list", "elements": "dict", "default": [], "options": _SETTING},
            "environment": {"type": "list", "elements": "dict", "default": [], "options": _SETTING},
            "volumes": {"type": "list", "elements": "dict", "default": [], "options": _VOLUME},
            "image": {"type": "str"},
            "stop_grace_period": {"type": "str"},
            "restart": {"type": "str"},
        },
    },
}


def work(module: AnsibleModule) -> None:
    """End the task with its result or one clear message."""
    carry_out(module, False, apply_services, undo_services)
