# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Options of every module that works on a Compose project. Twins of the specs in compose/project.py."""

    DOCUMENTATION = r"""
options:
  project_src:
    description:
      - The folder of the Compose project.
    type: path
    required: true
  project_name:
    description:
      - The project's name, where the folder holds several projects.
      - By default the running containers tell, and otherwise Compose's own rules.
    type: str
  files:
    description:
      - The project's compose files, relative to O(project_src) or absolute, in Compose's order.
      - By default the files that the project's containers were started from, which their labels tell. Where there are
        no containers, what Compose finds by itself.
    type: list
    elements: str
    default: []
  docker_host:
    description:
      - The engine's socket, V(unix:///var/run/docker.sock) by default. E(DOCKER_HOST) is respected.
      - Only a socket of the host itself can be used, because limits are checked against the kernel's files.
    type: str
requirements:
  - Docker Engine 20.10 or later with the Compose plugin 2.20 or later
  - PyYAML 5.1 or later
"""

    WRITE = r"""
options:
  write_to:
    description:
      - Which file a change is written to.
      - With V(auto) it is the override file (for example C(compose.override.yaml)) where the project runs on Compose's
        own file discovery, and the last of the files where they are named explicitly, because Compose ignores an
        override file then.
      - V(override) insists on the override file. Anything else is the path of one of the project's files.
    type: str
    default: auto
"""
