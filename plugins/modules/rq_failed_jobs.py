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

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.smallhost.headroom.plugins.module_utils import project_task
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import place as redis_place
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import run as redis_run
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import server as redis_server
from ansible_collections.smallhost.headroom.plugins.module_utils.worker import failed

_DAY = 86400
_PATIENCE = 30.0
ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "project_src": {"type": "path", "required": True},
    "files": {"type": "list", "elements": "str", "default": []},
    "service": {"type": "str", "required": True},
    "keep_days": {"type": "int", "required": True},
}


def run(module: AnsibleModule) -> dict[str, Any]:
    """Find the server and go through its failed jobs."""
    params = module.params
    wanted = {**params, "project_name": None, "docker_host": None}
    # The server is this project's own: how to log in is in its settings, and how to know it is not a question.
    place = redis_place.find({"compose": wanted, "username": None, "password": None, **_NO_TLS_NAMES})
    module.no_log_values.update(place.secrets())
    server = redis_run.reach(place, _PATIENCE)
    try:
        pile = failed.shorten(server, params["keep_days"] * _DAY, time.time(), module.check_mode)
    finally:
        server.close()
    for warning in place.warnings:
        module.warn(warning)
    changed = bool(pile.dropped or pile.shortened)
    return {"changed": changed, "queues": pile.queues, "dropped": pile.dropped, "shortened": pile.shortened}


_NO_TLS_NAMES = {"validate_certs": False, "ca_certs": None, "client_cert": None, "client_key": None, "tls": False}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    if module.params["keep_days"] < 1:
        module.fail_json(msg="keep_days has to be 1 or more: with less, a failure could not be looked at any more.")
    if not redis_server.HAS_REDIS:
        module.fail_json(msg=missing_required_lib("redis (python3-redis)"), exception=redis_server.REDIS_IMPORT_ERROR)
    try:
        result = run(module)
    except (*redis_run.ERRORS, *project_task.ERRORS) as error:
        project_task.fail(module, error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
