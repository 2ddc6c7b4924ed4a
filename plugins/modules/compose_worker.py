#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_worker
short_description: Jobs at once, recycling and a long enough stop for the job workers of a Compose project
version_added: 0.1.0
author:
  - Headroom authors (@smallhost)
description:
  - Knows RQ (C(rq worker) and C(rq worker-pool)), Celery, arq and Dramatiq by their command lines, and sets what each
    of them lets be set from outside. What only the application can set is said in RV(services[].notes).
  - The number of jobs at once is what fits the service's memory limit, by the memory that a job was measured to need.
    It is lowered where less fits, and raised only to what O(services[].workers) asks for. It stays as it is until the
    running worker has been measured, unless less is asked for.
  - C(stop_grace_period) becomes long enough for the longest job that is allowed, so that a stopped worker ends its job
    first. It is never made shorter.
  - Works on the compose file as M(smallhost.headroom.compose_service) does. Nothing is restarted.
extends_documentation_fragment:
  - smallhost.headroom.compose
  - smallhost.headroom.compose.write
  - smallhost.headroom.undo
attributes:
  check_mode:
    description: Can run in check mode and return what would change, without changing it.
    support: full
  diff_mode:
    description: Returns the file's text before and after.
    support: full
  idempotent:
    description: A second run changes nothing.
    support: full
options:
  services:
    description:
      - The workers. With O(state=absent) only these are put back; all are by default.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The service's name in the compose file.
        type: str
        required: true
      workers:
        description:
          - How many jobs are to run at once, where they fit. By default as many as now, or fewer.
        type: int
      recycle_after:
        description:
          - After how many jobs a worker is to start anew. Refused where that ends the whole worker and its restart
            policy does not bring it back.
        type: int
      result_ttl:
        description:
          - How many seconds results are kept where a job names nothing itself.
        type: int
      longest_job:
        description:
          - How long a job may take at most, as V(10m). By default the longest timeout among RQ's jobs in Redis, else
            the program's own default.
        type: str
      environment:
        description:
          - Environment variables, for what the application reads from there, such as the size of a connection pool.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: The variable.
            type: str
            required: true
          value:
            description: Its value. Without it the variable is removed.
            type: str
          state:
            description: With V(absent) the variable is removed.
            type: str
            choices: [present, absent]
            default: present
  history:
    description:
      - The folder of recorded samples, which tell what a job needs. At least 100 are needed since the running container
        was started. Without them the kernel's peak has to do, which counts page cache too, of a container that has run
        for three hours.
    type: path
seealso:
  - module: smallhost.headroom.compose_service
  - module: smallhost.headroom.compose_limits
"""

EXAMPLES = r"""
- name: A worker that ends its job before it stops
  smallhost.headroom.compose_worker:
    project_src: /opt/bot/deploy
    services:
      - name: worker-image

- name: Two jobs at once where they fit, and a new process after 500
  smallhost.headroom.compose_worker:
    project_src: /opt/bot/deploy
    services:
      - name: worker-image
        workers: 2
        recycle_after: 500
        environment:
          - {name: DB_POOL_SIZE, value: "2"}
"""

RETURN = r"""
services:
  description: What became of each worker.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The service.
      type: str
      sample: worker-image
    program:
      description: The worker program; empty where it is none that is known.
      type: str
      sample: rq worker
    concurrency:
      description: How many jobs at once; V(null) without a known program.
      type: dict
      contains:
        current:
          description: As found.
          type: int
          sample: 4
        wanted:
          description: As asked for; V(null) where nothing was.
          type: int
          sample: null
        chosen:
          description: As it is to be.
          type: int
          sample: 2
        fits:
          description: How many fit the memory limit; V(null) where no job was measured.
          type: int
          sample: 2
        per_job:
          description: Bytes that a job takes; V(null) where none was measured.
          type: int
          sample: 67108864
        reason:
          description: Why, with figures.
          type: str
          sample: >-
            a job takes up to 64.0 MB (recorded), the worker 34.0 MB at rest, and it may have 200.0 MB: 2 at once fit
    longest_job:
      description: Seconds that a job may take; V(null) where there is no bound.
      type: float
      sample: 600.0
    longest_job_source:
      description: Where that is from.
      type: str
      sample: the jobs in Redis
    stop_seconds:
      description: How long a stop may take before the container is killed.
      type: int
      sample: 615
    notes:
      description: What the operator should know, or can only change in the application.
      type: list
      elements: str
      sample: []
    changed:
      description: Whether its part of the file changed.
      type: bool
      sample: true
    recreate_pending:
      description: Whether a running container lacks one of the settings, so that only recreating it brings them.
      type: bool
      sample: true
    pending:
      description: The settings that are missing in a container, as keys of the compose file.
      type: list
      elements: str
      sample: [stop_grace_period]
    containers:
      description: The service's containers, each with RV(services[].pending) of its own.
      type: list
      elements: dict
      sample: [{name: deploy-worker-1, id: 77297e09dddc, running: true, pending: [stop_grace_period]}]
recreate_pending:
  description: The services with RV(services[].recreate_pending).
  returned: success
  type: list
  elements: str
  sample: [worker-image]
project:
  description: The project's name.
  returned: success
  type: str
  sample: deploy
files:
  description: The project's compose files, in Compose's order.
  returned: success
  type: list
  elements: str
  sample: [/opt/bot/deploy/docker-compose.prod.yml]
files_changed:
  description: The files that were (or in check mode would be) changed.
  returned: success
  type: list
  elements: str
  sample: [/opt/bot/deploy/docker-compose.prod.yml]
undone:
  description: For each file how it was put back, V(restored) to the byte or V(values).
  returned: when O(state=absent)
  type: list
  elements: dict
  sample: [{path: /opt/bot/deploy/docker-compose.prod.yml, outcome: restored}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.tasks import compose_worker as task


def main() -> None:
    """Entry point."""
    task.work(AnsibleModule(argument_spec=task.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
