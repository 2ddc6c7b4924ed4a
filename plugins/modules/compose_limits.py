#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_limits
short_description: Set memory, CPU and process limits of Compose services, in the file and in the running containers
version_added: 0.1.0
description:
  - Writes limits into a project's compose file and applies them to its running containers without a restart.
  - The file is edited by position, in the style that the service or else the file already uses (C(mem_limit) and its
    family, or C(deploy.resources)). No other byte of it changes, and C(docker compose config) must accept the result.
  - A limit below what a container needs now is refused before anything is touched, and so are limits that together
    outgrow the host, and a Redis C(maxmemory) above the new limit.
  - The first previous value of all that is changed is kept, and O(state=absent) puts it back.
author:
  - Headroom authors (@smallhost)
extends_documentation_fragment:
  - smallhost.headroom.compose
  - smallhost.headroom.compose.write
  - smallhost.headroom.undo
attributes:
  check_mode:
    description: Can run in check mode and return what would change, without changing it.
    support: full
  diff_mode:
    description: Returns the file's text and the running limits before and after.
    support: full
  idempotent:
    description:
      - A second run changes nothing. A limit that O(fit=raise) has fitted to measurements stays in place while the need
        moves by less than 10 %, and while no container runs to be measured.
    support: full
options:
  services:
    description:
      - The services and their limits. A limit that is not given stays as it is.
      - With O(state=absent) only these services are put back; all are by default.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The service's name in the compose file.
        type: str
        required: true
      memory:
        description: The memory limit in Compose's notation, for example V(120M). This is the target where O(fit=raise).
        type: str
      memory_reservation:
        description: Memory that the kernel protects when the host runs short.
        type: str
      memory_swap:
        description:
          - Memory and swap together, or V(-1) for swap without an end. By default the same as O(services[].memory), so
            that the container does not swap. Without it the engine would allow as much swap as memory.
        type: str
      cpus:
        description: Processors, for example V(0.5).
        type: float
      pids:
        description: How many processes and threads the service may have; V(-1) for no limit.
        type: int
      redis_maxmemory:
        description:
          - Redis' C(maxmemory) in redis.conf's notation, where another task of the same play sets it. The limit is
            judged by this, so that a check of the whole play does not stumble over a value that the play lowers.
          - By default what the command line of the service says.
        type: str
  fit:
    description:
      - What to do where a container needs more than O(services[].memory). It needs 1.1 times what it uses now, the
        larger of its working set and its anonymous, shared and kernel memory.
      - V(refuse) fails before anything is changed. V(raise) sets what is needed and returns
        RV(services[].target_met) as false; a later run lowers the limit to the target once less is needed.
      - V(force) sets the limits whatever happens, also beyond the host's memory and below Redis' C(maxmemory). On
        cgroup v2 the kernel kills processes until the container fits.
    type: str
    choices: [refuse, raise, force]
    default: refuse
  host_reserve:
    description:
      - What to leave to everything that no limit holds, as a size (V(512M)) or a share of the host's memory (V(20%)).
      - V(auto) is 1.15 times what is in use outside of limited containers, and 100 MiB.
    type: str
    default: auto
  host_memory:
    description:
      - The host's memory as a size, for hosts that see more than they may use.
      - By default what the kernel reports, or the limit of the root cgroup where the host is itself a container.
    type: str
  apply:
    description:
      - With V(live) running and stopped containers get the limits too, without a restart.
      - With V(file) only the file is changed, and V(recreate_pending) is returned for running services.
    type: str
    choices: [live, file]
    default: live
seealso:
  - module: smallhost.headroom.compose_service
  - module: smallhost.headroom.compose_usage_info
"""

EXAMPLES = r"""
- name: Limit two services
  smallhost.headroom.compose_limits:
    project_src: /opt/bot/deploy
    services:
      - {name: bot, memory: 120M, memory_reservation: 64M, cpus: 0.5, pids: 200}
      - {name: redis, memory: 128M}

- name: Come as close to the target as the container's present need allows
  smallhost.headroom.compose_limits:
    project_src: /opt/bot/deploy
    fit: raise
    services:
      - {name: worker, memory: 200M}

- name: Change the file only; the limits hold from the next start on
  smallhost.headroom.compose_limits:
    project_src: /opt/bot/deploy
    files: [docker-compose.prod.yml]
    apply: file
    services:
      - {name: api, memory: 150M}

- name: Put everything back as it was before the first run
  smallhost.headroom.compose_limits:
    project_src: /opt/bot/deploy
    state: absent
"""

RETURN = r"""
services:
  description: What became of each service. All sizes are bytes.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The service.
      type: str
      sample: bot
    limit:
      description: The memory limit, or V(null) without one.
      type: int
      sample: 125829120
    reservation:
      description: The memory reservation, or V(null) without one.
      type: int
      sample: 67108864
    memory_swap:
      description: Memory and swap together, or V(null) without a limit.
      type: int
      sample: 125829120
    cpus:
      description: Processors, or V(null) without a limit.
      type: float
      sample: 0.5
    pids:
      description: Processes and threads, or V(null) without a limit.
      type: int
      sample: 200
    target:
      description: The memory limit that was asked for, or V(null).
      type: int
      sample: 125829120
    target_met:
      description: Whether the limit is the one that was asked for.
      type: bool
      sample: true
    working_set:
      description: What the largest container uses without the page cache that can be dropped; V(null) if none runs.
      type: int
      sample: 71303168
    needed:
      description: The smallest safe limit now; V(null) if nothing runs.
      type: int
      sample: 78643200
    before:
      description: >-
        The limits before this run, in the effective configuration (C(file)) and in each container (C(live)), under the
        names memory, memory_swap, memory_reservation, cpus and pids.
      type: dict
      sample: {"file": {"memory": null}, "live": [{"container": "bot-1", "memory": null}]}
    changed:
      description: Whether this service's limits changed, in the file or in a container.
      type: bool
      sample: true
    recreate_pending:
      description: Whether a container does not have the limits of the file, so that only recreating it brings them.
      type: bool
      sample: false
    recreate_at_next_up:
      description: >-
        Whether C(docker compose up) would recreate a container because the file has changed since it was made, although
        the container has the limits already. Nothing has to be restarted for that.
      type: bool
      sample: true
    containers:
      description: The service's containers.
      type: list
      elements: dict
      contains:
        name:
          description: The container's name.
          type: str
          sample: deploy-bot-1
        id:
          description: Its id.
          type: str
          sample: 77297e09dddc6466ed650ba26faf23b94124f57cfe8bb15badb7e5a4eac0a326
        running:
          description: Whether it runs.
          type: bool
          sample: true
        limit:
          description: The memory limit that the kernel enforces now; V(null) for none, or when it does not run.
          type: int
          sample: 125829120
        working_set:
          description: What it uses now; V(null) when it does not run.
          type: int
          sample: 71303168
recreate_pending:
  description: The services with RV(services[].recreate_pending).
  returned: success
  type: list
  elements: str
  sample: []
recreate_at_next_up:
  description: The services with RV(services[].recreate_at_next_up).
  returned: success
  type: list
  elements: str
  sample: [bot]
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
  description: >-
    For each file that was put back V(restored), to the byte, or V(values), only this module's own values because
    somebody had changed the file in between.
  returned: when O(state=absent)
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
      sample: /opt/bot/deploy/docker-compose.prod.yml
    outcome:
      description: V(restored) or V(values).
      type: str
      sample: restored
budget:
  description: The host's memory and what is promised of it, in bytes, with the wanted limits in place.
  returned: when O(state=present)
  type: dict
  contains:
    host_total:
      description: The host's memory.
      type: int
      sample: 3040870400
    reserve:
      description: What is left to everything that no limit holds.
      type: int
      sample: 480000000
    limits:
      description: The sum of the limits of all containers.
      type: int
      sample: 627048448
    reservations:
      description: The sum of their reservations.
      type: int
      sample: 67108864
    left:
      description: What further limits may take.
      type: int
      sample: 1933821952
    reservations_left:
      description: What further reservations may take.
      type: int
      sample: 1981587456
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.tasks import compose_limits as task


def main() -> None:
    """Entry point."""
    task.work(AnsibleModule(argument_spec=task.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
