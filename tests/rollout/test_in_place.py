# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One look at all stages on a real host: with all in place it says so, and whatever somebody has changed it sees.

Applies site.yml where it is not applied yet (ten minutes), and then changes one thing after the other by hand.
"""

from __future__ import annotations

import json
import subprocess

import pytest
import yaml

from sandbox import playbook, ssh
from sandbox.environment import ROOT
from sandbox.stack_images import PROJECT

OURS = f"/var/lib/headroom/{PROJECT}"
COMPOSE = "/opt/imagebot/deploy/docker-compose.prod.yml"
DOCKERFILE = "/opt/imagebot/deploy/Dockerfile.bot"
REDIS = "docker exec imagebot-redis redis-cli config set"
GATEWAY = f"$(docker image ls --format '{{{{.Repository}}}}:{{{{.Tag}}}}' {PROJECT}-headroom-gateway)"
VARIABLES = {"headroom_guard_seconds": 10}
IN_PLACE = "All stages are in place"

# Each changes one thing, and takes the change back.
DRIFTS = {
    "a kernel setting": ("echo 60 > /proc/sys/vm/swappiness", "echo 10 > /proc/sys/vm/swappiness"),
    "a line of a compose file": (
        f"cp -a {COMPOSE} /root/kept; sed -i 's/--workers 1/--workers 2/' {COMPOSE}",
        f"mv /root/kept {COMPOSE}",
    ),
    "a limit of a container": (
        "docker inspect -f '{{.HostConfig.Memory}}' imagebot-api > /root/kept; "
        "docker update --memory 900m --memory-swap 900m imagebot-api",
        "docker update --memory $(cat /root/kept) --memory-swap $(cat /root/kept) imagebot-api",
    ),
    "Redis' policy": (f"{REDIS} maxmemory-policy allkeys-lru", f"{REDIS} maxmemory-policy noeviction"),
    "a setting of the engine": (
        'cp -a /etc/docker/daemon.json /root/kept; sed -i \'s/"10m"/"20m"/\' /etc/docker/daemon.json',
        "mv /root/kept /etc/docker/daemon.json",
    ),
    "a file of systemd": (
        "mv /etc/systemd/journald.conf.d/90-headroom.conf /root/kept",
        "mv /root/kept /etc/systemd/journald.conf.d/90-headroom.conf",
    ),
    "a Dockerfile": (
        f"cp -a {DOCKERFILE} /root/kept; echo 'ENV MORE=1' >> {DOCKERFILE}",
        f"mv /root/kept {DOCKERFILE}",
    ),
    "the gateway's policy": (f"mv {OURS}/gateway/policy.toml /root/kept", f"mv /root/kept {OURS}/gateway/policy.toml"),
    # Docker's own way back to a tag that was taken away.
    "the gateway's image": (
        f"echo {GATEWAY} > /root/kept; docker tag {GATEWAY} kept:1; docker rmi {GATEWAY}",
        "docker tag kept:1 $(cat /root/kept); docker rmi kept:1",
    ),
    "a file of the shim": (
        f"cp -a {OURS}/site/headroom_redirect/route.py /root/kept; echo >> {OURS}/site/headroom_redirect/route.py",
        f"mv /root/kept {OURS}/site/headroom_redirect/route.py",
    ),
    "a file too many in the package": (
        f"touch {OURS}/site/headroom_runtime/old.py",
        f"rm {OURS}/site/headroom_runtime/old.py",
    ),
    "the place for counters": ("chmod 755 /run/headroom/counters", "chmod 1777 /run/headroom/counters"),
    "a rollout that was killed": (
        f"cp -a {OURS}/runs.json /root/kept; python3 -c \"import json; p = '{OURS}/runs.json'; r = json.load(open(p)); "
        "r['runs'][-1].update(outcome=None, touched=0); json.dump(r, open(p, 'w'))\"",
        f"mv /root/kept {OURS}/runs.json",
    ),
}


@pytest.fixture(scope="module")
def look(instance, tmp_path_factory):
    """Run the first play of site.yml only; its output."""
    folder = tmp_path_factory.mktemp("look")
    done = playbook.run(instance, "site", folder, VARIABLES)
    assert done.returncode == 0, done.stdout[-5000:]
    site = yaml.safe_load((ROOT / "playbooks/site.yml").read_text())
    (folder / "look.yml").write_text(json.dumps(site[:1]))
    argv = [*playbook.argv(instance, "site", VARIABLES)[:-1], str(folder / "look.yml")]
    return lambda: subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_with_all_in_place_no_stage_is_gone_through(instance, look, tmp_path):
    assert IN_PLACE in look()
    again = playbook.run(instance, "site", tmp_path, VARIABLES)
    assert playbook.changed(again.stdout) == 0
    assert again.stdout.count("no hosts matched") == 4


@pytest.mark.parametrize("drift", DRIFTS)
def test_what_somebody_has_changed_is_seen(instance, look, drift):
    change, back = DRIFTS[drift]
    ssh.execute(instance, f"set -e; {change}")
    try:
        assert IN_PLACE not in look()
    finally:
        ssh.execute(instance, f"set -e; {back}")
    assert IN_PLACE in look()
