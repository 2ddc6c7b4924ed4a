#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recorded_info
short_description: What is on record about a Compose project - memory, response times, changes
version_added: 0.1.0
description:
  - Reads on the target what the C(monitoring) role has recorded and what the undo journals hold, and returns it in
    an amount that fits a page.
  - Neither has to be there. What is not recorded is returned as empty.
  - Of changes it returns the names only, never what stood there before, because that may hold secrets.
author:
  - Headroom authors (@smallhost)
extends_documentation_fragment:
  - smallhost.headroom.reads_only
options:
  project:
    description: Name of the Compose project.
    type: str
    required: true
  days:
    description: How many days of samples to look at.
    type: float
    default: 14
  points:
    description: How many points a curve has at most.
    type: int
    default: 200
  state_dir:
    description: Folder of the undo journals on the target.
    type: path
    default: /var/lib/headroom
seealso:
  - module: smallhost.headroom.host_report
  - module: smallhost.headroom.rollout_record
"""

EXAMPLES = r"""
- name: See what has been recorded
  smallhost.headroom.recorded_info:
    project: deploy
  register: recorded

- name: List the files that can be given back
  ansible.builtin.debug:
    msg: "{{ recorded.changes | map(attribute='files') | flatten | unique }}"
"""

RETURN = r"""
time:
  description: When this was read, in whole seconds since the epoch, by the target's clock.
  returned: success
  type: int
  sample: 1795344000
curves:
  description: Memory of each service over time. Empty where nothing was recorded.
  returned: success
  type: list
  elements: dict
  contains:
    service:
      description: The service.
      type: str
      sample: api
    step:
      description: How many seconds one point stands for.
      type: int
      sample: 600
    points:
      description: Time in seconds since the epoch, bytes in use, and the limit in bytes or V(null).
      type: list
      elements: list
      sample: [[1795344000, 110100480, 157286400]]
spreads:
  description: How the memory of each service was distributed over that time.
  returned: success
  type: list
  elements: dict
  contains:
    service:
      description: The service.
      type: str
      sample: api
    seconds:
      description: How long it was watched.
      type: int
      sample: 86400
    p50:
      description: Median of bytes in use.
      type: int
      sample: 104857600
    p95:
      description: 95th percentile of bytes in use.
      type: int
      sample: 110100480
    maximum:
      description: Most bytes in use.
      type: int
      sample: 115343360
    oom_kills:
      description: Processes that the kernel killed for lack of memory.
      type: int
      sample: 0
    restarts:
      description: How often it was restarted.
      type: int
      sample: 0
answers:
  description: How the probed services answered.
  returned: success
  type: list
  elements: dict
  contains:
    service:
      description: The service.
      type: str
      sample: api
    probes:
      description: How often it was asked.
      type: int
      sample: 5760
    errors:
      description: How often that failed.
      type: int
      sample: 0
    mean_ms:
      description: Mean response time in milliseconds.
      type: float
      sample: 11.2
    worst_ms:
      description: Longest response time in milliseconds.
      type: float
      sample: 240.0
changes:
  description: What the undo journals of the project, of its host and of Redis hold.
  returned: success
  type: list
  elements: dict
  contains:
    owner:
      description: The key under which it is undone.
      type: str
      sample: stage1.item02
    scope:
      description: The journal.
      type: str
      sample: deploy
    values:
      description: Names of the changed settings.
      type: list
      elements: str
      sample: ["live api"]
    files:
      description: The changed files.
      type: list
      elements: str
      sample: [/opt/bot/deploy/compose.override.yaml]
history_missing:
  description: Why there are no samples; V(null) where there are some.
  returned: success
  type: str
  sample: null
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils import history, recorded
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal, JournalError

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "project": {"type": "str", "required": True},
    "days": {"type": "float", "default": 14},
    "points": {"type": "int", "default": 200},
    "state_dir": {"type": "path", "default": "/var/lib/headroom"},
}

# Journals beside the project's own: kernel settings, and a Redis outside of any project.
HOST_SCOPES = ("_host", "_redis")


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    now, missing = int(time.time()), None
    samples: list[history.Sample] = []
    try:
        samples = history.read(since=now - params["days"] * 86400)
    except history.HistoryError as error:
        missing = str(error)
    try:
        changes = recorded.changes(
            (scope, *Journal(scope, params["state_dir"]).read_only().held())
            for scope in (params["project"], *HOST_SCOPES)
        )
    except (JournalError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        time=now,
        curves=recorded.memory_over_time(samples, params["project"], params["points"]),
        spreads=recorded.spreads(samples, params["project"]),
        answers=recorded.answers(samples),
        changes=changes,
        history_missing=missing,
    )


if __name__ == "__main__":
    main()
