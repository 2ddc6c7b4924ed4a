# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import types

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import docker_engine, project_task
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.server import RedisError
from ansible_collections.smallhost.headroom.plugins.module_utils.tasks import rq_failed_jobs


def test_a_redis_that_does_not_run_is_said(monkeypatch):
    engine = types.SimpleNamespace(containers=lambda *_words, **_more: [])
    project = types.SimpleNamespace(name="deploy", require=lambda _services: None, warnings=())
    monkeypatch.setattr(docker_engine, "Engine", lambda _host: engine)
    monkeypatch.setattr(project_task, "find_project", lambda *_words: project)
    params = {"project_src": "/opt/bot/deploy", "files": [], "service": "redis", "keep_days": 30}
    with pytest.raises(RedisError, match="the service redis of deploy does not run"):
        rq_failed_jobs.run(types.SimpleNamespace(params=params, check_mode=False))
