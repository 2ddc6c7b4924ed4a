#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_project_info
short_description: What a Compose project is made of, without its secrets
version_added: 0.1.0
description:
  - Returns how a project is started, what its services are in the effective configuration, which of their containers
    run, and what this collection keeps for it on the host.
  - One look for all that the roles have to know before they plan.
  - Of the services' environment only the variables of O(environment) are returned, so the result needs no C(no_log).
author:
  - Headroom authors (@smallhost)
extends_documentation_fragment:
  - smallhost.headroom.compose
  - smallhost.headroom.reads_only
options:
  environment:
    description: Names of environment variables that hold no secret and are to be returned.
    type: list
    elements: str
    default: []
  paths:
    description: Further files and folders to return with RV(tree).
    type: list
    elements: path
    default: []
  state_dir:
    description: Folder of the undo journals and of what the stages keep on the target.
    type: path
    default: /var/lib/headroom
seealso:
  - module: smallhost.headroom.compose_usage_info
"""

EXAMPLES = r"""
- name: Look at the project
  smallhost.headroom.compose_project_info:
    project_src: /opt/bot/deploy
    environment: [PYTHONPATH]
  register: stack

- name: Say which services share the host's network
  ansible.builtin.debug:
    msg: "{{ stack.services | dict2items | selectattr('value.network_mode', 'eq', 'host') | map(attribute='key') }}"
"""

RETURN = r"""
project:
  description: The project's name.
  returned: success
  type: str
  sample: deploy
compose_argv:
  description: The words of C(docker compose) that select this project, whatever the current folder is.
  returned: success
  type: list
  elements: str
  sample:
    [env, PWD=/opt/bot/deploy, docker, compose, --project-directory, /opt/bot/deploy, -f, /opt/bot/deploy/prod.yml]
services:
  description: >-
    By name, each service of the effective configuration, those of inactive profiles included. A value is that of
    C(docker compose config), which doubles every dollar sign.
  returned: success
  type: dict
  contains:
    image:
      description: Its image, which has a name of Compose's making where the service is built and gives none.
      type: str
      sample: deploy-api
    image_named:
      description: Whether the compose file names its image.
      type: bool
      sample: false
    network_mode:
      description: The network mode; empty where the service is in networks.
      type: str
      sample: ""
    networks:
      description: Names of its networks in the compose file.
      type: list
      elements: str
      sample: [default]
    memory:
      description: Its memory limit in bytes; 0 without one.
      type: int
      sample: 157286400
    environment:
      description: Those variables of O(environment) that it has.
      type: dict
      sample: {"PYTHONPATH": "/opt/headroom/site"}
    targets:
      description: Where volumes and folders are mounted in it.
      type: list
      elements: str
      sample: [/opt/headroom/site]
containers:
  description: The project's containers.
  returned: success
  type: list
  elements: dict
  contains:
    service:
      description: Its service.
      type: str
      sample: api
    running:
      description: Whether it runs.
      type: bool
      sample: true
images:
  description: Tags of the images that this collection has built for the project.
  returned: success
  type: list
  elements: str
  sample: ["deploy-headroom-gateway:0123456789abcdef"]
tree:
  description: What there is of the project's folder in O(state_dir), all that is in it, and O(paths).
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file or folder.
      type: str
      sample: /var/lib/headroom/deploy/site/sitecustomize.py
    mode:
      description: Its permissions.
      type: str
      sample: "0644"
    checksum:
      description: A file's SHA-1; V(null) for what is no file.
      type: str
      sample: 2ef7bde608ce5404e97d5f042f95f89f1c232871
unfinished:
  description: The rollout that has begun and not ended, or V(null). See M(smallhost.headroom.rollout_record).
  returned: success
  type: dict
  sample: null
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils import docker_engine, project_view, run_record
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.project import (
    PROJECT_ARGUMENT_SPEC,
    ProjectError,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import ERRORS, fail, find_project, lasting

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **PROJECT_ARGUMENT_SPEC,
    "environment": {"type": "list", "elements": "str", "default": []},
    "paths": {"type": "list", "elements": "path", "default": []},
    "state_dir": {"type": "path", "default": "/var/lib/headroom"},
}


def look(params: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The result, and warnings. Raises one of ERRORS, or RunError."""
    engine = docker_engine.Engine(params["docker_host"])
    project = find_project(params, engine)
    project.all_profiles = True
    try:
        project.config()
    except ProjectError:
        # Services that nobody starts may lack what those that run have.
        project.all_profiles = False
    folder = Journal(project.name, params["state_dir"]).folder
    runs = run_record.RunFile(os.path.join(folder, "runs.json")).read()
    return {
        "project": project.name,
        "compose_argv": project.argv,
        "services": project_view.services(project.config(), params["environment"]),
        "containers": [{"service": entry.service, "running": entry.running} for entry in lasting(engine, project.name)],
        "images": engine.tags(project_view.IMAGES.format(project=project.name)),
        "tree": project_view.tree(folder, params["paths"]),
        "unfinished": run_record.unfinished(runs),
    }, project.warnings


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result, warnings = look(module.params)
    except (*ERRORS, run_record.RunError) as error:
        fail(module, error)
    for warning in warnings:
        module.warn(warning)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
