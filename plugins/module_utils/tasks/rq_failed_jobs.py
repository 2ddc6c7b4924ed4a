# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module rq_failed_jobs does, whoever calls it."""

from __future__ import annotations

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


def work(module: AnsibleModule) -> None:
    """End the task with its result or one clear message."""
    if module.params["keep_days"] < 1:
        module.fail_json(msg="keep_days has to be 1 or more: with less, a failure could not be looked at any more.")
    if not redis_server.HAS_REDIS:
        module.fail_json(msg=missing_required_lib("redis (python3-redis)"), exception=redis_server.REDIS_IMPORT_ERROR)
    try:
        result = run(module)
    except (*redis_run.ERRORS, *project_task.ERRORS) as error:
        project_task.fail(module, error)
    module.exit_json(**result)
