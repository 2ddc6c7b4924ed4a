#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_added_service
short_description: Add services of one's own to a Compose project, in the project's file, and take them out again
version_added: 0.1.0
description:
  - Writes whole services into the compose file that the project uses, so that C(docker compose up) with the usual files
    keeps them. No other byte of the file changes, and C(docker compose config) must accept the result.
  - Nothing is started. Services that do not run as defined are returned as RV(recreate_pending).
  - With O(state=absent) their containers are stopped and removed, the file is put back, and their networks are removed.
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
    description: Returns the file's text before and after.
    support: full
  idempotent:
    description: A second run changes nothing.
    support: full
options:
  services:
    description:
      - The services. One that was added under the same O(undo_key) and is no longer listed is taken out of the file.
      - A service of that name that the project has of its own is an error.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The service's name.
        type: str
        required: true
      definition:
        description:
          - The service as it stands in a compose file, with an C(image). C($$) is a dollar.
          - A label C(smallhost.headroom.definition) is added, by which a container of this very definition is known.
        type: dict
        required: true
  networks:
    description: Networks of the project that only these services need.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The network's name in the compose file.
        type: str
        required: true
      definition:
        description: The network as it stands in a compose file.
        type: dict
        default: {}
  host_reserve:
    description:
      - What to leave to everything that no limit holds, as a size (V(512M)) or a share of the host's memory (V(20%)).
      - V(auto) is 1.15 times what is in use outside of limited containers, and 100 MiB.
      - Services whose limits do not fit into the host beside all others are refused.
    type: str
    default: auto
  host_memory:
    description:
      - The host's memory as a size, for hosts that see more than they may use.
      - By default what the kernel reports, or the limit of the root cgroup where the host is itself a container.
    type: str
seealso:
  - module: smallhost.headroom.compose_service
  - module: smallhost.headroom.compose_limits
"""

EXAMPLES = r"""
- name: A Redis for the cache beside the one of the queue
  smallhost.headroom.compose_added_service:
    project_src: /opt/bot/deploy
    services:
      - name: cache
        definition:
          image: redis:7-alpine
          restart: unless-stopped
          command: [redis-server, --save, "", --maxmemory, 96mb, --maxmemory-policy, allkeys-lfu]
          mem_limit: 128M
          memswap_limit: 128M

- name: Take it out again
  smallhost.headroom.compose_added_service:
    project_src: /opt/bot/deploy
    state: absent
"""

RETURN = r"""
services:
  description: What became of each service.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The service.
      type: str
      sample: cache
    changed:
      description: Whether its part of the file changed.
      type: bool
      sample: true
    recreate_pending:
      description: Whether the project runs, and no running container was made from this definition.
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
          sample: deploy-cache-1
        id:
          description: Its id.
          type: str
          sample: 77297e09dddc6466ed650ba26faf23b94124f57cfe8bb15badb7e5a4eac0a326
        running:
          description: Whether it runs.
          type: bool
          sample: true
recreate_pending:
  description: The services with RV(services[].recreate_pending).
  returned: success
  type: list
  elements: str
  sample: [cache]
removed:
  description: The containers and networks that were (or in check mode would be) removed.
  returned: success
  type: list
  elements: str
  sample: [deploy-cache-1]
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
    For each file that was put back V(restored), to the byte, or V(values), only the added services because somebody had
    changed the file in between.
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
from ansible_collections.smallhost.headroom.plugins.module_utils.tasks import compose_added_service as task


def main() -> None:
    """Entry point."""
    task.work(AnsibleModule(argument_spec=task.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
