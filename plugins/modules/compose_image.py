#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_image
short_description: Give Compose services smaller images, from multi-stage Dockerfiles written beside the originals
version_added: 0.1.0
description:
  - For each service that is built from a Dockerfile with one stage and Python packages, a Dockerfile with two stages is
    written beside the original (C(Dockerfile.headroom)). Compilers, headers, caches and what else only building needs
    stay in the first stage. The original is not touched.
  - The new image is built and tried beside the old one before anything of the project changes. It must import what the
    application imports, find its shared libraries, have the health check's programs, and start, end and become healthy
    as the old one does. A trial has no network and none of the service's volumes, so it takes no message and no job.
  - Only then the project's file is changed (C(build.dockerfile) and C(image)). The old image keeps its name, and one
    more that the undo journal knows, so that O(state=absent) needs no build.
  - O(state=absent) takes back what this module built, and nothing that anybody else built. An image that was built
    from the new Dockerfile after the switch has newer code than the old one, so it gets the old name and runs on; one
    that was built under the old name keeps it. A warning says so, and how to build from the original Dockerfile.
  - A Dockerfile that is not understood, or whose image fails, is left alone and named with the reason in a warning.
  - Services with the same requirements get the same first layers, which are then stored once.
  - Nothing is restarted. Services whose running containers have another image are returned as RV(recreate_pending).
author:
  - Headroom authors (@smallhost)
extends_documentation_fragment:
  - smallhost.headroom.compose
  - smallhost.headroom.compose.write
  - smallhost.headroom.undo
attributes:
  check_mode:
    description: Can run in check mode. Builds and starts nothing then, and says what it would build.
    support: full
  diff_mode:
    description: Returns the new Dockerfiles, and the project's file before and after.
    support: full
  idempotent:
    description: >-
      A second run builds and changes nothing. A hash of the Dockerfile and of everything that the build gets is kept as
      a label of the image.
    support: full
options:
  services:
    description: The services. All that are built from a Dockerfile by default.
    type: list
    elements: str
    default: []
  leave:
    description: Services that are left alone.
    type: list
    elements: str
    default: []
  drop_requirements:
    description:
      - Requirements to leave out, by their names in C(requirements.txt).
      - RV(services[].unused_requirements) proposes some.
      - They are only taken out of the files that C(pip install -r) reads, and only while the image is built.
    type: list
    elements: str
    default: []
  build_packages:
    description:
      - Debian packages in the Dockerfiles that only building needs, beside those that are known (compilers, C(-dev)).
    type: list
    elements: str
    default: []
  build_network:
    description: >-
      The network of the build, V(host) for example, where the engine's default one does not reach the package index.
    type: str
  build_timeout:
    description: The most seconds that one build may take.
    type: int
    default: 1800
  smoke_seconds:
    description: How long the old and the new image are watched side by side, in seconds.
    type: int
    default: 20
  retry:
    description: Build also what was found unfit before with the same content.
    type: bool
    default: false
seealso:
  - module: smallhost.headroom.compose_service
"""

EXAMPLES = r"""
- name: Smaller images for all services that are built here
  smallhost.headroom.compose_image:
    project_src: /opt/bot/deploy

- name: The same, without a requirement that nothing imports
  smallhost.headroom.compose_image:
    project_src: /opt/bot/deploy
    drop_requirements: [pandas]

- name: Back to the old images, without a build
  smallhost.headroom.compose_image:
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
    dockerfile:
      description: The original Dockerfile.
      returned: with O(state=present)
      type: str
      sample: /opt/bot/deploy/Dockerfile.api
    outcome:
      description:
        - V(built), V(would_build) in check mode, or V(current) where the new image was there already.
        - V(left) where the Dockerfile is left alone, V(failed) where its new image could not be built or did worse.
        - V(pulled) for an image that is not built here, V(restored) with O(state=absent).
      type: str
      sample: built
    reason:
      description: Why it was left or failed; for a pulled image a smaller variant, where one is known.
      returned: with O(state=present)
      type: str
      sample: it has several stages already
    image:
      description: The name of its image.
      type: str
      sample: deploy-api:headroom
    image_before:
      description: The name under which the old image is kept.
      returned: with O(state=present)
      type: str
      sample: deploy-api:before-headroom
    size:
      description: Bytes of the new image, with all layers.
      returned: with O(state=present), where it was built in this run
      type: int
      sample: 512000000
    size_before:
      description: Bytes of the old image, with all layers.
      returned: with O(state=present), where it was built in this run
      type: int
      sample: 1090000000
    unused_requirements:
      description:
        - Requirements that nothing imports, by deptry.
        - Drivers and plug-ins that are used by name look unused too.
      returned: with O(state=present), where it was built in this run
      type: list
      elements: str
      sample: [pandas]
    other_versions:
      description: Python packages that the new build brought in another version, because nothing pins them.
      returned: with O(state=present)
      type: list
      elements: str
      sample: [anyio 4.11.0 -> 4.12.0]
    changed:
      description: Whether its image, Dockerfile or part of the project's file changed.
      type: bool
      sample: true
    recreate_pending:
      description: Whether a running container has another image, so that only recreating it brings the new one.
      type: bool
      sample: true
size_before:
  description: Bytes of all images of these services before, each layer once.
  returned: with O(state=present)
  type: int
  sample: 1900000000
size:
  description: The same with the new images.
  returned: with O(state=present), not in check mode
  type: int
  sample: 700000000
pruned:
  description: The ids of replaced images and left-over build stages that were removed.
  returned: with O(state=present)
  type: list
  elements: str
  sample: []
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
  sample: [/opt/bot/deploy/docker-compose.prod.yml, /opt/bot/deploy/Dockerfile.api.headroom]
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
from ansible_collections.smallhost.headroom.plugins.module_utils.tasks import compose_image as task


def main() -> None:
    """Entry point."""
    task.work(AnsibleModule(argument_spec=task.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
