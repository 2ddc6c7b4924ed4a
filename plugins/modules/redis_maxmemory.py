#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_maxmemory
short_description: Bound a Redis server's memory, live and for good, without losing a job
version_added: 0.1.0
description:
  - Sets C(maxmemory), C(maxmemory-policy) and other parameters of a running Redis or Valkey server, and writes them to
    where they last, the compose file's command or the configuration file.
  - Looks at the keys first. Where they belong to a job queue (RQ, Celery, arq, Dramatiq, BullMQ, Sidekiq), a policy
    that could evict them is refused.
  - Leaves room in the memory limit for what a save copies, for clients and for fragmentation, and refuses what would
    make the kernel kill the server.
  - The first previous value of all that is changed is kept, and O(state=absent) puts it back. Of a Compose service that
    does not run, these are its files.
author:
  - Headroom authors (@smallhost)
extends_documentation_fragment:
  - smallhost.headroom.compose.write
  - smallhost.headroom.undo
attributes:
  check_mode:
    description: Can run in check mode and return what would change, without changing it.
    support: full
  diff_mode:
    description: Returns the parameters, and the changed lines of files without passwords, before and after.
    support: full
  idempotent:
    description: A second run changes nothing. Values are compared by what they mean, so that C(2gb) is C(2147483648).
    support: full
requirements:
  - redis-py 4.3.4 or later (C(python3-redis))
  - For O(compose) PyYAML
options:
  compose:
    description:
      - The service of a Compose project that runs the server, on this host.
      - Its address, password and command line are found from the running container.
    type: dict
    suboptions:
      project_src:
        description: The folder of the Compose project.
        type: path
        required: true
      service:
        description:
          - The service's name.
          - Only with O(state=absent) it may be left out, for every service that was changed under the O(undo_key),
            whether it is still in the project or not.
        type: str
      project_name:
        description: The project's name, where the folder holds several projects.
        type: str
      files:
        description: The project's compose files, where its running containers do not tell.
        type: list
        elements: str
        default: []
      docker_host:
        description: The engine's socket.
        type: str
  container:
    description:
      - Name or id of the container that runs the server, on this host.
      - If it belongs to a Compose project, that project's files are where O(persist=auto) makes the settings last.
    type: str
  host:
    description: The server's address, where it is none of O(compose), O(container) and O(unix_socket).
    type: str
    default: 127.0.0.1
  port:
    description: The server's port. For O(compose) and O(container) it is found.
    type: int
    default: 6379
  unix_socket:
    description: The server's unix socket.
    type: path
  username:
    description: The ACL user.
    type: str
  password:
    description:
      - The password. For O(compose) and O(container) it is found where it is not given.
      - A C(requirepass) among O(settings) is tried too, as an earlier run may have set it.
    type: str
  tls:
    description: Whether to connect with TLS. For O(compose) and O(container) it is found.
    type: bool
    default: false
  ca_certs:
    description: File of the certificate authorities that the server's certificate is checked against.
    type: path
  client_cert:
    description: File of the client's certificate.
    type: path
  client_key:
    description: File of the client's key.
    type: path
  validate_certs:
    description: Whether to check the server's certificate.
    type: bool
    default: true
  maxmemory:
    description:
      - The bound as a size in redis.conf's notation (V(96mb); V(1m) is 1000000 bytes, V(1mb) is 1048576), or as a share
        of the memory limit (V(75%)).
      - The limit is the container's, or the host's memory where there is none.
      - It stays as it is when this is not given.
    type: str
  policy:
    description:
      - What the server does when the bound is reached. It stays as it is when this is not given.
      - A queue needs V(noeviction); a cache is best served by V(allkeys-lfu).
    type: str
    choices:
      - noeviction
      - allkeys-lru
      - allkeys-lfu
      - allkeys-lrm
      - allkeys-random
      - volatile-lru
      - volatile-lfu
      - volatile-lrm
      - volatile-random
      - volatile-ttl
  purpose:
    description:
      - What the server is for. V(auto) looks at the keys.
      - With V(queue) or V(mixed) an evicting policy is refused even while there are no keys. With V(cache) it is
        allowed unless the keys of a queue are found.
    type: str
    choices: [auto, queue, cache, mixed]
    default: auto
  settings:
    description:
      - Other parameters to set, for example C(lazyfree-lazy-eviction).
      - The value of a password (C(requirepass), C(masterauth)) is in no output. But Ansible writes a task's parameters
        to the host's syslog before a module sees them, unless the task has C(no_log).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The parameter's name as C(CONFIG GET) knows it.
        type: str
        required: true
      value:
        description: Its value in redis.conf's notation.
        type: raw
        required: true
  persist:
    description:
      - How the values last. V(rewrite) writes to the server's configuration file - with C(CONFIG REWRITE) where the
        file is not on this host, otherwise by editing its lines, in place where it is bind-mounted into a container.
      - V(compose) writes to the command in the compose file.
      - V(auto) takes the configuration file, unless it does not outlive the container or the command line overrides it.
        A server without a file, outside of a Compose project, is set live only, with a warning.
    type: str
    choices: [auto, rewrite, compose, none]
    default: auto
  memory_limit:
    description:
      - The memory limit to count with, in Compose's notation, in place of the one in force.
      - Of use in check mode, while the container does not have its limit yet.
    type: str
  allow_job_eviction:
    description: Whether to set a policy that may evict a queue's keys. Jobs are lost then.
    type: bool
    default: false
  force:
    description:
      - Whether to set a O(maxmemory) that leaves too little room in the memory limit, or that is below what is in use
        with V(noeviction).
    type: bool
    default: false
  timeout:
    description: How many seconds to wait for a server that is still loading its data.
    type: int
    default: 30
seealso:
  - module: smallhost.headroom.compose_limits
"""

EXAMPLES = r"""
- name: Bound the queue's Redis to three quarters of its container
  smallhost.headroom.redis_maxmemory:
    compose: {project_src: /opt/bot/deploy, service: redis}
    maxmemory: 75%
    policy: noeviction

- name: A cache in a container of its own
  smallhost.headroom.redis_maxmemory:
    container: bot-redis-cache-1
    purpose: cache
    maxmemory: 48mb
    policy: allkeys-lfu
    settings:
      - {name: lazyfree-lazy-eviction, value: "yes"}

- name: A server outside of Docker
  smallhost.headroom.redis_maxmemory:
    unix_socket: /run/redis/redis-server.sock
    maxmemory: 512mb
    policy: noeviction

- name: Put everything back as it was before the first run, on each Redis of the project
  smallhost.headroom.redis_maxmemory:
    compose: {project_src: /opt/bot/deploy}
    state: absent
"""

RETURN = r"""
before:
  description: Each parameter as it was, in the server's own notation.
  returned: when one server is meant
  type: dict
  sample: {"maxmemory": "536870912", "maxmemory-policy": "allkeys-lru"}
after:
  description: Each parameter as it is now (in check mode, as it would be).
  returned: when one server is meant
  type: dict
  sample: {"maxmemory": "100663296", "maxmemory-policy": "noeviction"}
used_memory:
  description: What the server has allocated, in bytes.
  returned: when one server is meant
  type: int
  sample: 6186536
server:
  description: The server that was set.
  returned: when one server is meant
  type: dict
  contains:
    name:
      description: Product and version.
      type: str
      sample: Redis 7.0.15
    address:
      description: Where it was reached.
      type: str
      sample: 172.18.0.2:6379
    login:
      description: Where the password was found. The password itself is in no output.
      type: str
      sample: the server's requirepass
purpose_found:
  description: What the keys say about the server. V(null) with O(state=absent), or where the user may not look.
  returned: when one server is meant
  type: dict
  contains:
    purpose:
      description: V(queue), V(cache), V(mixed) or V(empty).
      type: str
      sample: mixed
    queues:
      description: The queue libraries whose keys were found, for each database.
      type: list
      elements: dict
      sample:
        - library: RQ
          database: 0
          keys: 323
          keys_with_ttl: 21
          waiting_jobs: 300
          evidence: ["rq:job:4d0b9e0c", "rq:queue:img_queue", "rq:workers"]
    keys:
      description: How many keys there are in all databases.
      type: int
      sample: 5323
    keys_looked_at:
      description: How many of them were looked at.
      type: int
      sample: 5323
    complete:
      description: Whether all were looked at.
      type: bool
      sample: true
room:
  description: >-
    How O(maxmemory) fits into the memory limit, in bytes. V(null) where O(maxmemory) is not given.
  returned: when one server is meant
  type: dict
  contains:
    limit:
      description: The memory limit.
      type: int
      sample: 134217728
    source:
      description: Whose limit it is.
      type: str
      sample: the container bot-redis-1
    maxmemory:
      description: The bound.
      type: int
      sample: 100663296
    reserve:
      description: What has to stay free beside it.
      type: int
      sample: 33554432
    copy_on_write:
      description: The part of the reserve for what a save copies, from the largest copy seen.
      type: int
      sample: 1327104
    clients:
      description: The part for clients' buffers and other memory that the bound does not count.
      type: int
      sample: 22400
    fragmentation:
      description: The part for the allocator's overhead.
      type: int
      sample: 5033164
    share:
      description: The smallest reserve, as a share of the limit.
      type: float
      sample: 0.25
    fits:
      description: Whether bound and reserve stay within the limit.
      type: bool
      sample: true
persisted_via:
  description: How the values last, V(rewrite) (the configuration file), V(compose) or V(none).
  returned: when one server is meant
  type: str
  sample: compose
files_changed:
  description: The files that were (or in check mode would be) changed.
  returned: success
  type: list
  elements: str
  sample: [/opt/bot/deploy/docker-compose.prod.yml]
recreate_pending:
  description: The service, where C(CONFIG) is out of reach and only a restart brings the values.
  returned: success
  type: list
  elements: str
  sample: []
recreate_at_next_up:
  description: >-
    The service, where C(docker compose up) would recreate it because its command has changed. The values hold already,
    so nothing has to be restarted for them.
  returned: success
  type: list
  elements: str
  sample: [redis]
servers:
  description: >-
    What is returned of each server, where O(compose) names no service. Beside it are the files and the services of all.
  returned: when O(compose) names no service
  type: list
  elements: dict
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
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.tasks import redis_maxmemory as task


def main() -> None:
    """Entry point."""
    task.work(AnsibleModule(argument_spec=task.ARGUMENT_SPEC, supports_check_mode=True, **task.CONSTRAINTS))


if __name__ == "__main__":
    main()
