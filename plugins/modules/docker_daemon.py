#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_daemon
short_description: Merge settings into the Docker engine's daemon.json, with a reload or an allowed restart
version_added: 0.1.0
author:
  - Headroom authors (@smallhost)
description:
  - Merges settings into the configuration file that the running dockerd reads. Other keys stay as they are.
  - What dockerd takes over on SIGHUP is in force afterwards. The rest counts from its next start, which this module
    brings about only with O(restart=true), and only while live-restore keeps the containers running. The same ids and
    times of start are checked afterwards.
  - Nothing is written where the file is no valid JSON, where dockerd itself refuses the new one (C(dockerd --validate),
    Docker 23 and later), or where a key stands on dockerd's command line already, because dockerd does not start then.
extends_documentation_fragment:
  - smallhost.headroom.undo
attributes:
  check_mode:
    support: full
    description: Shows what would change and changes nothing.
  diff_mode:
    support: full
    description: Shows the file before and after.
  idempotent:
    support: full
    description: A second run changes nothing.
options:
  settings:
    description:
      - The settings as they stand in C(daemon.json). Objects are merged key by key, everything else is replaced.
      - C(log-opts) are left alone where the log driver has no C(max-size), and C(live-restore) in a swarm.
    type: dict
    default: {}
  restart:
    description:
      - Whether dockerd may be restarted for settings that a reload does not bring into force.
      - Containers keep running. Ports that a C(docker-proxy) passes on to them, and the engine's API, do not answer for
        the seconds of the restart.
    type: bool
    default: false
  pidfile:
    description:
      - Where the engine keeps its process id. It tells which engine is meant.
    type: path
    default: /run/docker.pid
  docker_host:
    description:
      - The engine's socket, V(unix:///var/run/docker.sock) by default. E(DOCKER_HOST) is respected.
    type: str
notes:
  - The undo journal is that of the scope C(_host) under O(state_dir).
  - Containers take C(log-opts) and C(default-ulimits) when they are created. Those that exist keep what they have.
seealso:
  - name: dockerd
    description: All settings, and which of them a reload takes over.
    link: https://docs.docker.com/reference/cli/dockerd/
"""

EXAMPLES = r"""
- name: Bounded logs, containers that outlive the daemon, no proxy process for each port
  smallhost.headroom.docker_daemon:
    settings:
      live-restore: true
      userland-proxy: false
      log-opts: {max-size: 10m, max-file: "3"}
    restart: true

- name: As it was before the first run
  smallhost.headroom.docker_daemon:
    restart: true
    state: absent
"""

RETURN = r"""
path:
  description: The configuration file.
  returned: success
  type: str
  sample: /etc/docker/daemon.json
settings:
  description: One entry for each setting that this engine takes.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The setting.
      type: str
      sample: userland-proxy
    before:
      description: What the file had; V(null) where it had nothing.
      type: raw
      sample: null
    after:
      description: What it has, or would have in check mode.
      type: raw
      sample: false
    changed:
      description: Whether the two differ.
      type: bool
      sample: true
    applied_by:
      description: Whether dockerd takes it over by V(reload) or V(restart).
      type: str
      sample: restart
    in_force:
      description: Whether the running dockerd has it.
      type: bool
      sample: true
not_applied:
  description: Settings that were left alone, with the reason.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The setting.
      type: str
      sample: live-restore
    reason:
      description: Why.
      type: str
      sample: the engine is part of a swarm, which does not go with live-restore.
restart_pending:
  description: Settings that wait for the next start of dockerd.
  returned: success
  type: list
  elements: str
  sample: [userland-proxy]
reloaded:
  description: Whether dockerd was told to read the file again.
  returned: success
  type: bool
  sample: true
restarted:
  description: Whether dockerd was restarted.
  returned: success
  type: bool
  sample: false
validated_by:
  description: Who has checked the new file before it was written; V(null) where nothing was to be written.
  returned: success
  type: str
  sample: dockerd --validate
memory:
  description: >-
    What the engine's own processes and the journal's held before and after, in bytes. Pages that several of them share
    are divided among them.
  returned: success
  type: dict
  contains:
    before:
      description: Before this run.
      type: dict
      sample: {dockerd: 79691776, containerd: 41943040, shims: 33554432, proxies: 7340032, journald: 20971520}
    after:
      description: After it. The same where nothing was changed.
      type: dict
      sample: {dockerd: 73400320, containerd: 41943040, shims: 33554432, proxies: 0, journald: 20971520}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.tasks import docker_daemon as task


def main() -> None:
    """Entry point."""
    task.work(AnsibleModule(argument_spec=task.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
