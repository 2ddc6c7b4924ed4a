#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_allocators
short_description: Say which memory allocators Compose services could use, and which of those tried is worth keeping
version_added: 0.1.0
description:
  - Looks at the main process of each service for what could replace or bound its memory allocator through environment
    variables alone. An arena cap and jemalloc need glibc, mimalloc needs Python 3.13. A variable that the operator has
    set is left alone.
  - With O(windows), what was measured with each of them, it also says which to keep.
  - Changes nothing. The role P(smallhost.headroom.stage4_code#role) tries them.
author:
  - Headroom authors (@smallhost)
extends_documentation_fragment:
  - smallhost.headroom.reads_only
  - smallhost.headroom.compose
options:
  services:
    description: The services.
    type: list
    elements: str
    required: true
  jemalloc:
    description: A C(libjemalloc.so.2) on the target, for its processor. Without it jemalloc is no candidate.
    type: path
  windows:
    description: What was measured, in the order of time.
    type: list
    elements: dict
    default: []
    suboptions:
      candidate:
        description: The allocator that was tried, V(none) for none.
        type: str
        required: true
      well:
        description: Whether the stack was well meanwhile. A candidate that it was not well with is not kept.
        type: bool
        default: true
      samples:
        description: Looks at the services, each a dictionary of service and working set in bytes.
        type: list
        elements: dict
        required: true
seealso:
  - module: smallhost.headroom.compose_service
"""

EXAMPLES = r"""
- name: See what could be tried
  smallhost.headroom.service_allocators:
    project_src: /opt/bot/deploy
    services: [bot, api, worker]
  register: allocators
"""

RETURN = r"""
candidates:
  description: >-
    For each allocator that one of the services could use, and for V(none), the services with the variables to set, as
    O(smallhost.headroom.compose_service#module:services) takes them.
  returned: success
  type: dict
  sample: {"arenas": [{"name": "api", "environment": [{"name": "MALLOC_ARENA_MAX", "value": "1"}]}]}
chosen:
  description: What each measured service should use. Sizes are bytes.
  returned: with O(windows)
  type: list
  elements: dict
  contains:
    service:
      description: The service.
      type: str
      sample: worker
    allocator:
      description: The allocator, V(none) where no candidate saved a tenth.
      type: str
      sample: arenas
    before:
      description: Its working set without one.
      type: int
      sample: 127926272
    after:
      description: Its working set with the chosen one.
      type: int
      sample: 110100480
    saved:
      description: The share that it saves.
      type: float
      sample: 0.14
    environment:
      description: The variables to set.
      type: list
      elements: dict
      sample: [{"name": "MALLOC_ARENA_MAX", "value": "1"}, {"name": "HEADROOM_ALLOCATOR", "value": "arenas"}]
project:
  description: The project's name.
  returned: success
  type: str
  sample: bot
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils import allocators, atomic_file
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.project import PROJECT_ARGUMENT_SPEC
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import ERRORS, fail, looked_at

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **PROJECT_ARGUMENT_SPEC,
    "services": {"type": "list", "elements": "str", "required": True},
    "jemalloc": {"type": "path"},
    "windows": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "candidate": {"type": "str", "required": True},
            "well": {"type": "bool", "default": True},
            "samples": {"type": "list", "elements": "dict", "required": True},
        },
    },
}


def look(params: dict[str, Any], containers: list[Container]) -> dict[str, allocators.Process]:
    """The main process of each service that runs. Raises OSError."""
    pids = {entry.service: entry.pid for entry in containers if entry.service in params["services"] and entry.pid}
    return {name: allocators.look(pid) for name, pid in pids.items()}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    try:
        project, containers, warnings = looked_at(module)
        library = atomic_file.read(params["jemalloc"]) if params["jemalloc"] else None
        needs = allocators.glibc_needed(library) if library else None
        seen = look(params, containers)
    except ERRORS as error:
        fail(module, error)
    possible = {name: allocators.candidates(process, needs) for name, process in seen.items()}
    result: dict[str, Any] = {
        "project": project.name,
        "candidates": {
            allocator: [
                {"name": name, "environment": found[allocator]}
                for name, found in possible.items()
                if allocator in found
            ]
            for allocator in (allocators.NONE, *allocators.ORDER)
            if any(allocator in found for found in possible.values())
        },
    }
    if params["windows"]:
        kept = {name: process.environment.get("HEADROOM_ALLOCATOR", "none") for name, process in seen.items()}
        # A working set comes as text out of a template.
        windows = [
            {**window, "samples": [{name: int(size) for name, size in one.items()} for one in window["samples"]]}
            for window in params["windows"]
        ]
        result["chosen"] = [
            {
                "service": name,
                "allocator": choice.allocator,
                "before": choice.before,
                "after": choice.after,
                "saved": round(choice.saved, 3),
                "environment": possible[name][choice.allocator],
            }
            for name, choice in allocators.choose(windows, kept).items()
            if choice.allocator in possible.get(name, {})
        ]
    for warning in warnings:
        module.warn(warning)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
