# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module compose_image does, whoever calls it."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.images.run import apply, undo
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import CHANGE_ARGUMENT_SPEC, carry_out

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **CHANGE_ARGUMENT_SPEC,
    "services": {"type": "list", "elements": "str", "default": []},
    "leave": {"type": "list", "elements": "str", "default": []},
    "drop_requirements": {"type": "list", "elements": "str", "default": []},
    "build_packages": {"type": "list", "elements": "str", "default": []},
    "build_network": {"type": "str"},
    "build_timeout": {"type": "int", "default": 1800},
    "smoke_seconds": {"type": "int", "default": 20},
    "retry": {"type": "bool", "default": False},
}


def work(module: AnsibleModule) -> None:
    """End the task with its result or one clear message."""
    carry_out(module, True, apply, undo)
