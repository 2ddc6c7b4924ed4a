#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_record
short_description: Keep the record of rollouts on a project, and keep two of them apart
version_added: 0.1.0
description:
  - Records on the target which rollout is at work, what it measured and how it ended.
  - A second rollout on the same project is refused while the first one is at work.
  - The record is no setting of the host, so this module never reports a change.
author:
  - Headroom authors (@smallhost)
attributes:
  check_mode:
    description: Can run in check mode, and then only reads.
    support: full
  diff_mode:
    description: Not applicable, as nothing of the host changes.
    support: none
options:
  project:
    description: Name of the Compose project.
    type: str
    required: true
  run_id:
    description: Identity of the rollout. The record is only read where this is not set.
    type: str
  begin:
    description: Begin a rollout. What is not given then is taken from the rollout that has begun.
    type: bool
    default: false
  stage:
    description: What is rolled out.
    type: str
  action:
    description: Whether the stage is applied (V(present)) or taken back (V(absent)).
    type: str
    choices: [present, absent]
  controller:
    description: Who is at work, in words for people.
    type: str
  abandoned:
    description: Identities of rollouts whose controller is known to be gone.
    type: list
    elements: str
    default: []
  phase:
    description: What the rollout is doing from now on.
    type: str
    choices: [measuring, applying, restarting, guarding, undoing]
  quiet_for:
    description:
      - For how many seconds it now waits for something, such as the end of a watch or of a worker's job.
      - Another rollout takes a silence of half an hour for its end. It waits so much longer then.
    type: int
    default: 0
  outcome:
    description: How it ended. The rollout is over with this.
    type: str
    choices: [passed, inconclusive, unchanged, undone, failed, interrupted]
  details:
    description: What is to be kept with it, such as measurements and reasons.
    type: dict
    default: {}
  state_dir:
    description: Folder of the records and the undo journals on the target.
    type: path
    default: /var/lib/headroom
  lock_timeout:
    description: How many seconds to wait while another task writes to the same project's folder.
    type: int
    default: 30
"""

EXAMPLES = r"""
- name: Begin
  smallhost.headroom.rollout_record:
    project: deploy
    run_id: 6f2c1c1e
    begin: true
    stage: stage1_quick_wins
    action: present
    controller: admin on laptop

- name: Watch for an hour
  smallhost.headroom.rollout_record:
    project: deploy
    run_id: 6f2c1c1e
    phase: guarding
    quiet_for: 3600

- name: End
  smallhost.headroom.rollout_record:
    project: deploy
    run_id: 6f2c1c1e
    outcome: passed

- name: Read
  smallhost.headroom.rollout_record:
    project: deploy
"""

RETURN = r"""
runs:
  description: All rollouts, oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Identity of the rollout.
      type: str
      sample: 6f2c1c1e
    stage:
      description: What was rolled out.
      type: str
      sample: stage1_quick_wins
    action:
      description: Whether it was applied or taken back.
      type: str
      sample: present
    controller:
      description: Who did it.
      type: str
      sample: admin on laptop
    phase:
      description: What it was doing last.
      type: str
      sample: guarding
    quiet_for:
      description: For how many seconds it then waited for something.
      type: int
      sample: 3600
    outcome:
      description: How it ended; V(null) while it is at work.
      type: str
      sample: passed
    started:
      description: When it began, in seconds since the epoch.
      type: float
      sample: 1795344000.0
    touched:
      description: When it last told of itself, in seconds since the epoch.
      type: float
      sample: 1795344060.0
    ended:
      description: When it ended, in seconds since the epoch.
      type: float
      sample: 1795344120.0
unfinished:
  description: The rollout that has begun and not ended, or V(null).
  returned: success
  type: dict
  sample: null
"""

import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils import run_record
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal, JournalError

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "project": {"type": "str", "required": True},
    "run_id": {"type": "str"},
    "begin": {"type": "bool", "default": False},
    "stage": {"type": "str"},
    "action": {"type": "str", "choices": ["present", "absent"]},
    "controller": {"type": "str"},
    "abandoned": {"type": "list", "elements": "str", "default": []},
    "phase": {"type": "str", "choices": list(run_record.PHASES)},
    "quiet_for": {"type": "int", "default": 0},
    "outcome": {"type": "str", "choices": list(run_record.OUTCOMES)},
    "details": {"type": "dict", "default": {}},
    "state_dir": {"type": "path", "default": "/var/lib/headroom"},
    "lock_timeout": {"type": "int", "default": 30},
}


def updated(params: dict[str, Any], runs: list[run_record.Run], now: float) -> list[run_record.Run]:
    """The record after what the task has to say. Raises RunError."""
    if params["begin"]:
        run = {
            "id": params["run_id"],
            **{key: params[key] for key in ("stage", "action", "controller", "quiet_for")},
            **params["details"],
        }
        return run_record.begin(runs, run, now, params["abandoned"])
    news = {**{key: params[key] for key in ("phase", "quiet_for", "outcome")}, **params["details"]}
    return run_record.advance(runs, params["run_id"], now, news)


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        supports_check_mode=True,
        required_if=[("begin", True, ["run_id", "stage", "action", "controller"])],
    )
    params = module.params
    try:
        journal = Journal(params["project"], params["state_dir"])
        record = run_record.RunFile(os.path.join(journal.folder, "runs.json"))
        if params["run_id"] is None or module.check_mode:
            runs = record.read()
        else:
            with journal.locked(params["lock_timeout"]):
                runs = updated(params, record.read(), time.time())
                record.write(runs)
    except (run_record.RunError, JournalError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, runs=runs, unfinished=run_record.unfinished(runs))


if __name__ == "__main__":
    main()
