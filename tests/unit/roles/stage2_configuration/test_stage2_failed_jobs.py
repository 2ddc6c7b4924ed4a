# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long failed jobs are kept is work for a rollout of its own."""

from __future__ import annotations

REDIS = [{"role": "redis", "service": "redis", "memory": "128M"}]


def test_failed_jobs_that_are_to_go_are_work(stage):
    def work(**result):
        answers = {"rq_failed_jobs": result}
        days = {"stage2_configuration_failed_jobs_days": 30}
        return stage.play("stage2_configuration", answers=answers, headroom_services=REDIS, **days).work

    assert work(changed=True)
    assert not work(changed=False)
