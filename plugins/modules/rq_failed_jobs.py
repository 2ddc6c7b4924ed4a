#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rq_failed_jobs
short_description: Keep RQ's failed jobs for so many days and no longer
version_added: 0.1.0
author:
  - Headroom authors (@smallhost)
description:
  - RQ keeps a failed job for a year where the application asks for nothing else. This module gives all failed jobs in a
    Redis the wanted life, counted from when they failed. Those that are older go at once.
  - Waiting, running, scheduled and finished jobs are not touched, also where they failed before under the same id. Nor
    are failed jobs that go sooner anyway.
  - What has been dropped cannot be brought back.
attributes:
  check_mode:
    description: Can run in check mode and count what would go.
    support: full
  diff_mode:
    description: There is no text to compare.
    support: none
  idempotent:
    description: A second run changes nothing but what has failed meanwhile.
    support: full
options:
  project_src:
    description:
      - The folder of the Compose project.
    type: path
    required: true
  files:
    description:
      - The project's compose files, where it is not running and uses explicit C(-f) files.
    type: list
    elements: str
    default: []
  service:
    description:
      - The service that is the Redis with the queue.
    type: str
    required: true
  keep_days:
    description:
      - How many days a failed job is kept after it has failed.
    type: int
    required: true
requirements:
  - The Python library redis 4.3 or later on the target
  - A user of Redis who may run EVAL, as RQ does itself
seealso:
  - module: smallhost.headroom.compose_worker
"""

EXAMPLES = r"""
- name: A month is enough to look at what went wrong
  smallhost.headroom.rq_failed_jobs:
    project_src: /opt/bot/deploy
    service: redis
    keep_days: 30
"""

RETURN = r"""
queues:
  description: How many failed jobs each queue had.
  returned: success
  type: dict
  sample: {img_queue: 312}
dropped:
  description: How many went at once, or would in check mode.
  returned: success
  type: int
  sample: 280
shortened:
  description: How many will go sooner than before.
  returned: success
  type: int
  sample: 32
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.tasks import rq_failed_jobs as task


def main() -> None:
    """Entry point."""
    task.work(AnsibleModule(argument_spec=task.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
