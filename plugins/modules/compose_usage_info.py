#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_usage_info
short_description: What the containers of a Compose project and their host use, and what is wrong with them
version_added: 0.1.0
description:
  - Returns memory, processor time, processes, limits and the kernel's OOM kills of each container of a project, and the
    host's memory, swap and disk.
  - The figures come from the kernel's cgroup files (versions 1 and 2). A child process that the kernel has killed is
    counted although Docker does not know of it.
author:
  - Headroom authors (@smallhost)
extends_documentation_fragment:
  - smallhost.headroom.reads_only
  - smallhost.headroom.compose
options:
  cpu_sample:
    description:
      - How many seconds to measure RV(containers[].cpu_percent) over. With V(0) it is not measured.
    type: float
    default: 0
  findings:
    description:
      - Whether to look for what is wrong with the stack, as RV(findings).
      - Looks into images through the engine, into Redis with commands that read, and at kernel settings. Nothing is
        changed, and nothing runs in a container.
    type: bool
    default: false
  history:
    description:
      - The folder of recorded samples. The role C(smallhost.headroom.monitoring) records them in
        V(/var/lib/headroom-sampler/samples).

      - With it, RV(recommendations) and RV(outlook) are returned. Where there are no samples yet, RV(history) says so,
        and they are empty.
    type: path
  users:
    description:
      - How many users to project RV(recommendations[].projection) to.
    type: int
    default: 50
  host_reserve:
    description:
      - Memory to keep for what runs outside of limited containers, as in M(smallhost.headroom.compose_limits).
    type: str
    default: auto
seealso:
  - module: smallhost.headroom.compose_limits
"""

EXAMPLES = r"""
- name: See what the stack uses
  smallhost.headroom.compose_usage_info:
    project_src: /opt/bot/deploy
    cpu_sample: 1
  register: usage

- name: See what is wrong with it
  smallhost.headroom.compose_usage_info:
    project_src: /opt/bot/deploy
    findings: true
  register: audit
  failed_when: audit.findings | selectattr('severity', 'eq', 'high') | length > 0

- name: See which limits the recorded use asks for, and whether 50 users will fit
  smallhost.headroom.compose_usage_info:
    project_src: /opt/bot/deploy
    history: /var/lib/headroom-sampler/samples
    users: 50
  register: advice

- name: Say which containers the kernel has killed processes of
  ansible.builtin.debug:
    msg: "{{ usage.containers | selectattr('oom_kills') | map(attribute='name') | list }}"
"""

RETURN = r"""
budget:
  description: >-
    What the host has for containers and what has been promised to them, in bytes. Containers without a limit promise
    nothing here, they are counted with what they use.
  returned: success
  type: dict
  contains:
    host_total:
      description: The host's memory.
      type: int
      sample: 3040870400
    reserve:
      description: What is kept for everything outside of limited containers.
      type: int
      sample: 502267904
    limits:
      description: Sum of the limits of all containers.
      type: int
      sample: 627048448
    reservations:
      description: Sum of the reservations.
      type: int
      sample: 313524224
    left:
      description: What further limits may take; negative where too much is promised.
      type: int
      sample: 1911554048
    reservations_left:
      description: What further reservations may take.
      type: int
      sample: 1717358182
    fits:
      description: Whether the host has what is promised.
      type: bool
      sample: true
findings:
  description: What is wrong with the stack, the gravest first.
  returned: with O(findings=true)
  type: list
  elements: dict
  contains:
    id:
      description: Which rule found it.
      type: str
      sample: eviction_policy_loses_jobs
    severity:
      description: V(high) can lose jobs, data or a service, V(medium) costs memory or disk, V(low) is worth knowing.
      type: str
      sample: high
    subject:
      description: The services, the disk or the host.
      type: str
      sample: redis
    figure:
      description: What was measured.
      type: str
      sample: maxmemory-policy allkeys-lru; RQ (12 keys, 3 waiting jobs in database 0)
    why:
      description: What it does.
      type: str
      sample: allkeys-lru would evict RQ's jobs and queues.
    remedy:
      description: What to do.
      type: str
      sample: Set noeviction on the instance that holds the queue (stage 1).
    item:
      description: The item of the plan, 1 to 12, that does it.
      type: int
      sample: 3
history:
  description: Which samples there were.
  returned: with O(history)
  type: dict
  contains:
    folder:
      description: Where they are.
      type: str
      sample: /var/lib/headroom-sampler/samples
    samples:
      description: How many lines were read.
      type: int
      sample: 34560
    first:
      description: Time of the first, in seconds since the epoch; V(null) without any.
      type: int
      sample: 1800000000
    last:
      description: Time of the last.
      type: int
      sample: 1800086400
    missing:
      description: Why there are none; V(null) where there are some.
      type: str
      sample: null
    days_until_full:
      description: Days until the project's file system is full if it goes on so; V(null) where it does not grow.
      type: float
      sample: 120.5
recommendations:
  description: What the samples say about each service. Memory in bytes.
  returned: with O(history)
  type: list
  elements: dict
  contains:
    service:
      description: The service.
      type: str
      sample: bot
    containers:
      description: How many of its containers run now; limits are per container.
      type: int
      sample: 1
    samples:
      description: How many samples there are of it.
      type: int
      sample: 5760
    seconds:
      description: How long they cover.
      type: int
      sample: 86400
    in_use:
      description: >-
        What its largest container could not do without, the larger of working set and anonymous + shared + kernel
        memory.
      type: dict
      contains:
          p50:
            description: Half of the time it was no more.
            type: int
            sample: 120586240
          p90:
            description: Nine tenths of the time it was no more.
            type: int
            sample: 131072000
          p95:
            description: 95 percent of the time it was no more.
            type: int
            sample: 133169152
          p99:
            description: 99 percent of the time it was no more.
            type: int
            sample: 136314880
          maximum:
            description: The most.
            type: int
            sample: 138412032
    working_set:
      description: The working set of its largest container.
      type: dict
      contains:
          p50:
            description: Half of the time it was no more.
            type: int
            sample: 120586240
          p90:
            description: Nine tenths of the time it was no more.
            type: int
            sample: 131072000
          p95:
            description: 95 percent of the time it was no more.
            type: int
            sample: 133169152
          p99:
            description: 99 percent of the time it was no more.
            type: int
            sample: 136314880
          maximum:
            description: The most.
            type: int
            sample: 138412032
    cpu:
      description: Processors' worth of time (p50, p90, p95, p99, maximum); V(null) where it was not measured.
      type: dict
      sample: {"p50": 0.02, "p90": 0.1, "p95": 0.15, "p99": 0.4, "maximum": 0.9}
    throttled_share:
      description: Share of the time in which its processor limit held it back.
      type: float
      sample: 0.0
    oom_kills:
      description: Processes that the kernel killed for lack of memory.
      type: int
      sample: 0
    restarts:
      description: Restarts by the engine.
      type: int
      sample: 0
    current_limit:
      description: The limit in force; V(null) without one.
      type: int
      sample: 157286400
    limit:
      description: >-
        The recommended limit, the largest use and 15 percent on top; after OOM kills at least 20 percent and 100 MiB
        above where it was killed.
      type: int
      sample: 157286400
    reservation:
      description: The recommended reservation, the 90th percentile (older samples count less) and 15 percent on top.
      type: int
      sample: 150994944
    keep:
      description: Whether the limit in force is within 10 percent of what is needed, and therefore kept.
      type: bool
      sample: true
    low_confidence:
      description: Whether the samples do not carry the recommendation.
      type: bool
      sample: false
    reason:
      description: Why they do not; empty where they do.
      type: str
      sample: ""
    projection:
      description: What it will use with O(users) users; V(null) where the number of users never changed.
      type: dict
      contains:
        users:
          description: The number of users.
          type: int
          sample: 50
        most_users_seen:
          description: The most active users in the samples.
          type: float
          sample: 21
        base:
          description: What it uses without any user.
          type: int
          sample: 94371840
        per_user:
          description: What each active user adds.
          type: int
          sample: 524288
        in_use:
          description: What it will use, all of its containers together.
          type: int
          sample: 125829120
        limit:
          description: The limit that each of its containers will need.
          type: int
          sample: 145752064
        low_confidence:
          description: Whether the samples do not carry the projection.
          type: bool
          sample: false
        reason:
          description: Why they do not; empty where they do.
          type: str
          sample: ""
outlook:
  description: Whether the recommended limits fit the host. Bytes.
  returned: with O(history)
  type: dict
  contains:
    room:
      description: What the limits of these services may take together.
      type: int
      sample: 2400000000
    recommended:
      description: What the recommended limits take.
      type: int
      sample: 600000000
    recommended_fits:
      description: Whether that fits.
      type: bool
      sample: true
    projected:
      description: What the limits for O(users) users take.
      type: int
      sample: 900000000
    projected_fits:
      description: Whether that fits.
      type: bool
      sample: true
    users_carried:
      description: How many users fit; V(null) where users cost nothing that could be measured.
      type: int
      sample: 130
    low_confidence:
      description: Whether the samples of any service do not carry its projection.
      type: bool
      sample: false
containers:
  description: >-
    The project's containers. Memory is in bytes; what is only known of a running container is V(null) for others.
  returned: success
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
    service:
      description: Its service.
      type: str
      sample: bot
    running:
      description: Whether it runs.
      type: bool
      sample: true
    status:
      description: The engine's word for its state.
      type: str
      sample: running
    started_at:
      description: When it was last started.
      type: str
      sample: "2026-03-01T10:00:00.000000000Z"
    health:
      description: The state of its health check; V(null) without one.
      type: str
      sample: healthy
    stop_timeout:
      description: Seconds that Docker waits for its end before it kills it; V(null) for Docker's own default.
      type: int
      sample: 190
    restarts:
      description: How often the engine has restarted it.
      type: int
      sample: 0
    oom_killed:
      description: Whether the engine knows that its main process was killed for lack of memory.
      type: bool
      sample: false
    exit_code:
      description: Its last exit code; V(null) while it runs.
      type: int
      sample: 137
    log_size:
      description: Bytes of its log on disk; V(null) where the log driver keeps no file.
      type: int
      sample: 1048576
    usage:
      description: All memory charged to it, page cache included.
      type: int
      sample: 150994944
    working_set:
      description: Usage without page cache that can be dropped at once (inactive), as C(docker stats) shows it.
      type: int
      sample: 131072000
    anon:
      description: Anonymous memory, which is what its processes have allocated.
      type: int
      sample: 120586240
    shared:
      description: Shared memory and tmpfs.
      type: int
      sample: 0
    kernel:
      description: Kernel memory.
      type: int
      sample: 4194304
    cache:
      description: Page cache of files.
      type: int
      sample: 20971520
    swap:
      description: Memory in swap.
      type: int
      sample: 0
    limit:
      description: The memory limit; V(null) without one.
      type: int
      sample: 157286400
    memory_swap:
      description: The limit of memory and swap together; V(null) without one.
      type: int
      sample: 157286400
    reservation:
      description: The memory reservation; V(null) without one.
      type: int
      sample: 67108864
    peak:
      description: The largest usage so far, page cache included; V(null) on cgroup v2 before Linux 5.19.
      type: int
      sample: 152043520
    limit_hits:
      description: How often it ran into its limit, so that the kernel had to reclaim.
      type: int
      sample: 0
    oom_kills:
      description: How many of its processes the kernel has killed for lack of memory, children included.
      type: int
      sample: 0
    cpu_seconds:
      description: Processor time since it was started.
      type: float
      sample: 12.5
    cpu_percent:
      description: Processor use over O(cpu_sample), 100 for one processor; V(null) if not measured.
      type: float
      sample: 2.5
    cpus:
      description: How many processors it may use; V(null) without a limit.
      type: float
      sample: 0.5
    throttled_periods:
      description: In how many periods it was held back by that limit.
      type: int
      sample: 0
    throttled_seconds:
      description: For how long in all.
      type: float
      sample: 0.0
    processes:
      description: How many processes it has.
      type: int
      sample: 3
    tasks:
      description: How many processes and threads it has; V(null) where the kernel does not count them.
      type: int
      sample: 12
    pids_limit:
      description: How many processes and threads it may have; V(null) without a limit.
      type: int
      sample: 200
    pressure:
      description: >-
        Share of time, in percent, that some or all of its processes waited for memory in the last 10 and 60 seconds
        (some_avg10, some_avg60, full_avg10, full_avg60); V(null) on cgroup v1.
      type: dict
      sample: {"some_avg10": 0.0, "some_avg60": 0.0, "full_avg10": 0.0, "full_avg60": 0.0}
totals:
  description: Sums over these containers.
  returned: success
  type: dict
  contains:
    working_set:
      description: Sum of the working sets.
      type: int
      sample: 302000000
    limits:
      description: Sum of the limits.
      type: int
      sample: 627048448
    reservations:
      description: Sum of the reservations.
      type: int
      sample: 67108864
    oom_kills:
      description: Sum of the kernel's OOM kills.
      type: int
      sample: 0
    unlimited:
      description: The running containers without a memory limit.
      type: list
      elements: str
      sample: []
host:
  description: The host.
  returned: success
  type: dict
  contains:
    memory_total:
      description: Memory in bytes, as far as the host may use it.
      type: int
      sample: 3040870400
    memory_used:
      description: Memory in use, without what can be dropped.
      type: int
      sample: 809500672
    memory_available:
      description: Memory that can still be used without swapping.
      type: int
      sample: 2231369728
    memory_source:
      description: V(meminfo) for the machine's memory, V(cgroup) where the host is itself a container with a limit.
      type: str
      sample: meminfo
    swap_total:
      description: Swap in bytes.
      type: int
      sample: 0
    swap_used:
      description: Swap in use.
      type: int
      sample: 0
    swap_counted:
      description: Whether the kernel keeps an account of swap, so that it can be limited.
      type: bool
      sample: true
    oom_kills:
      description: >-
        The kernel's OOM kills since it was started, everywhere; V(null) before Linux 4.13. Where the host is itself a
        container, those of the containers that still run.
      type: int
      sample: 0
    pressure:
      description: >-
        Share of time, in percent, that some or all processes waited for memory in the last 10 and 60 seconds; V(null)
        where the kernel does not tell.
      type: dict
      sample: {"some_avg10": 0.0, "some_avg60": 0.0, "full_avg10": 0.0, "full_avg60": 0.0}
    docker:
      description: What running containers costs beside the containers, in bytes.
      type: dict
      contains:
        dockerd:
          description: The engine.
          type: int
          sample: 62914560
        containerd:
          description: Its containerd.
          type: int
          sample: 31457280
        shims:
          description: One containerd-shim for each container.
          type: int
          sample: 41943040
        proxies:
          description: One docker-proxy for each published port and address.
          type: int
          sample: 4194304
        journald:
          description: The journal.
          type: int
          sample: 12582912
        total:
          description: All of these.
          type: int
          sample: 153092096
    cgroup_version:
      description: Which version of cgroups holds memory here.
      type: int
      sample: 2
    processors:
      description: How many processors this may use.
      type: int
      sample: 3
    disk:
      description: The file system that the project is on.
      type: dict
      contains:
        path:
          description: The project's folder.
          type: str
          sample: /opt/bot/deploy
        total:
          description: Its size in bytes.
          type: int
          sample: 63350767616
        used:
          description: What is used of it.
          type: int
          sample: 20000000000
        free:
          description: What an ordinary process can still write.
          type: int
          sample: 40000000000
compose_argv:
  description: The words of C(docker compose) that select this project, whatever the current folder is.
  returned: success
  type: list
  elements: str
  sample:
    [env, PWD=/opt/bot/deploy, docker, compose, --project-directory, /opt/bot/deploy, -f, /opt/bot/deploy/prod.yml]
project:
  description: The project's name.
  returned: success
  type: str
  sample: deploy
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils import capacity, docker_engine, sizing, usage
from ansible_collections.smallhost.headroom.plugins.module_utils.audit import task as audit_task
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.project import PROJECT_ARGUMENT_SPEC
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import ERRORS, fail, looked_at

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **PROJECT_ARGUMENT_SPEC,
    "cpu_sample": {"type": "float", "default": 0},
    "findings": {"type": "bool", "default": False},
    "history": {"type": "path"},
    "users": {"type": "int", "default": 50},
    "host_reserve": {"type": "str", "default": "auto"},
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    try:
        project, containers, warnings = looked_at(module)
        listed = usage.collect(containers, params["cpu_sample"], warnings)
        host = usage.host(project.src)
        engine = docker_engine.Engine(params["docker_host"])
        budget = audit_task.host_budget(engine, containers, listed, host, params["host_reserve"])
        result: dict[str, Any] = {
            "project": project.name,
            "compose_argv": project.argv,
            "containers": listed,
            "totals": usage.totals(listed),
            "host": host,
            "budget": {**budget.as_dict(), "fits": sizing.over_budget(budget) is None},
        }
        if params["history"]:
            result.update(capacity.look_back(params["history"], project, params["users"], listed, budget))
        if params["findings"]:
            days = result.get("history", {}).get("days_until_full")
            found = audit_task.look(engine, containers, listed, host, budget, days, warnings)
            result["findings"] = [one.as_dict() for one in found]
    except ERRORS as error:
        fail(module, error)
    for warning in warnings:
        module.warn(warning)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
