#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: plan_info
short_description: Ask several of the collection's modules at once what they would change
version_added: 0.1.0
description:
  - Runs each module in check mode, all in one process. Starting Python and reading the project take most of the time of
    a module that has nothing to do, and happen once here.
  - A module that would fail does not stop the others, and its message is returned.
  - What the modules keep out of their results is kept out of this one's too. The host's log has O(checks) as they were
    given, so set C(no_log) for a task with a password in them.
author:
  - Headroom authors (@smallhost)
extends_documentation_fragment:
  - smallhost.headroom.reads_only
options:
  checks:
    description: What to ask.
    type: list
    elements: dict
    required: true
    suboptions:
      module:
        description: The module's name in this collection.
        type: str
        required: true
        choices:
          - compose_added_service
          - compose_image
          - compose_limits
          - compose_service
          - compose_worker
          - docker_daemon
          - redis_maxmemory
          - rq_failed_jobs
          - swap_file
          - sysctl_memory
          - systemd_settings
      args:
        description: Its parameters, as in a task.
        type: dict
        default: {}
requirements:
  - What the modules require
seealso:
  - module: smallhost.headroom.compose_project_info
"""

EXAMPLES = r"""
- name: See whether a limit and a kernel setting are as wanted
  smallhost.headroom.plan_info:
    checks:
      - module: compose_limits
        args:
          project_src: /opt/bot/deploy
          services:
            - {name: bot, memory: 120M}
      - module: sysctl_memory
        args:
          settings:
            - {name: vm.swappiness, value: 10}
  register: plan

- name: Say what is not
  ansible.builtin.debug:
    msg: "{{ plan.checks | selectattr('changed') | map(attribute='module') }}"
  when: not plan.in_place
"""

RETURN = r"""
in_place:
  description: Whether no module would change anything, no service waits for a restart, and none would fail.
  returned: success
  type: bool
  sample: true
checks:
  description: What each module said, in the order of O(checks).
  returned: success
  type: list
  elements: dict
  contains:
    module:
      description: The module.
      type: str
      sample: compose_limits
    changed:
      description: Whether it would change something.
      type: bool
      sample: false
    recreate_pending:
      description: The services that still run with an old setting, so that they have to be restarted.
      type: list
      elements: str
      sample: []
    error:
      description: The message that it would fail with, or V(null).
      type: str
      sample: null
    warnings:
      description: What it would warn about. The task itself warns of it where all is in place.
      type: list
      elements: str
      sample: []
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils import checks

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "checks": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "module": {"type": "str", "required": True, "choices": list(checks.TASKS)},
            "args": {"type": "dict", "default": {}},
        },
    },
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    rows = checks.look(module.params["checks"], module.no_log_values)
    in_place = checks.in_place(rows)
    if in_place:
        # Nobody carries these tasks out, so nobody else would say it.
        for warning in dict.fromkeys(text for row in rows for text in row["warnings"]):
            module.warn(warning)
    module.exit_json(changed=False, checks=rows, in_place=in_place)


if __name__ == "__main__":
    main()
