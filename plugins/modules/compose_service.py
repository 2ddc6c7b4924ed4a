#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_service
short_description: Set command flags, environment, volumes and image of Compose services, in the project's file
version_added: 0.1.0
description:
  - Changes single settings of services in a project's compose file. The file is edited by position, so that no other
    byte of it changes, and C(docker compose config) must accept the result.
  - Nothing is restarted. Services whose running containers lack a setting are returned as RV(recreate_pending).
  - What was there before the first run is kept, and O(state=absent) puts it back.
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
      - The services and their settings. What is not given stays as it is.
      - Values are written as they stand in a compose file, so C(${NAME}) is a variable and C($$) a dollar.
      - With O(state=absent) only these services are put back; all are by default.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The service's name in the compose file.
        type: str
        required: true
      command_flags:
        description: Flags of the service's command, which keeps its form (text or list).
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: The flag, for example V(--workers).
            type: str
            required: true
          value:
            description: Its value; empty text for a flag without one. Without O(services[].command_flags[].value) the
              flag is removed.
            type: str
          state:
            description: With V(absent) the flag is removed.
            type: str
            choices: [present, absent]
            default: present
      environment:
        description: Environment variables, in the form (mapping or list) that the file uses.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: The variable.
            type: str
            required: true
          value:
            description: Its value. Without O(services[].environment[].value) the variable is removed.
            type: str
          state:
            description: With V(absent) the variable is removed.
            type: str
            choices: [present, absent]
            default: present
      volumes:
        description: Volumes and folders to mount. A named volume that the project does not know yet is declared.
        type: list
        elements: dict
        default: []
        suboptions:
          source:
            description: The volume's name, or a path on the host (a relative one is relative to the project's folder).
            type: str
          target:
            description: The path in the container. There is one volume for each path.
            type: str
            required: true
          read_only:
            description: Whether the container may only read it.
            type: bool
            default: false
          state:
            description: With V(absent) the volume for this path is unmounted.
            type: str
            choices: [present, absent]
            default: present
      image:
        description: The image.
        type: str
      stop_grace_period:
        description: How long a container may take to stop before it is killed, for example V(90s).
        type: str
      restart:
        description: The restart policy, for example V(unless-stopped).
        type: str
seealso:
  - module: smallhost.headroom.compose_limits
"""

EXAMPLES = r"""
- name: One worker process for the API
  smallhost.headroom.compose_service:
    project_src: /opt/bot/deploy
    services:
      - name: api
        command_flags:
          - {name: --workers, value: 1}

- name: Give the worker time to finish its job, and a smaller pool
  smallhost.headroom.compose_service:
    project_src: /opt/bot/deploy
    services:
      - name: worker
        stop_grace_period: 90s
        environment:
          - {name: DB_POOL_SIZE, value: 2}
          - {name: DEBUG, state: absent}
        volumes:
          - {source: ./hooks, target: /hooks, read_only: true}

- name: Put everything back as it was before the first run
  smallhost.headroom.compose_service:
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
      sample: api
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
      sample: [command]
    containers:
      description: The service's containers.
      type: list
      elements: dict
      contains:
        name:
          description: The container's name.
          type: str
          sample: deploy-api-1
        id:
          description: Its id.
          type: str
          sample: 77297e09dddc6466ed650ba26faf23b94124f57cfe8bb15badb7e5a4eac0a326
        running:
          description: Whether it runs.
          type: bool
          sample: true
        pending:
          description: The settings that it lacks.
          type: list
          elements: str
          sample: [command]
recreate_pending:
  description: The services with RV(services[].recreate_pending).
  returned: success
  type: list
  elements: str
  sample: [api]
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
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.tasks import compose_service as task


def main() -> None:
    """Entry point."""
    task.work(AnsibleModule(argument_spec=task.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
