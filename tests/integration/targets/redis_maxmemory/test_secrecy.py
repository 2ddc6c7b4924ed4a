# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Through Ansible itself, as talkative as it gets: no password in any of its output."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import collections

PASSWORD = "never-to-be-seen"

PLAYBOOK = """\
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - smallhost.headroom.redis_maxmemory: &task
        compose: {{project_src: "{folder}", service: redis}}
        maxmemory: 60mb
        policy: noeviction
        state_dir: "{state}"
      register: first
    - ansible.builtin.debug: {{var: first}}
    - smallhost.headroom.redis_maxmemory:
        <<: *task
        state: absent
    - smallhost.headroom.redis_maxmemory:
        port: {port}
        password: "{password}"
        maxmemory: 60mb
        state_dir: "{state}"
    - smallhost.headroom.redis_maxmemory:
        port: {port}
        password: "not-{password}"
        maxmemory: 60mb
        state_dir: "{state}"
      register: wrong
      failed_when: wrong is not failed
"""


def test_no_password_at_four_times_verbose(stack, bare, tmp_path):
    text = f'services:\n  redis:\n    image: IMAGE\n    command: ["redis-server", "--requirepass", "{PASSWORD}"]\n'
    project = stack(text)
    server = bare(None, "--requirepass", PASSWORD, password=PASSWORD)
    playbook = tmp_path / "play.yml"
    playbook.write_text(
        PLAYBOOK.format(folder=project.folder, state=tmp_path / "state", port=server.port, password=PASSWORD)
    )
    program = Path(sys.executable).parent / "ansible-playbook"
    argv = [str(program) if program.exists() else shutil.which("ansible-playbook") or "ansible-playbook"]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections()), "ANSIBLE_NOCOLOR": "1"}
    environment["ANSIBLE_LOCALHOST_WARNING"] = "False"
    for mode in (["--check"], []):
        words = [*argv, "-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}", "-vvvv", "--diff"]
        done = subprocess.run(
            [*words, *mode, str(playbook)], capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
        assert PASSWORD not in done.stdout + done.stderr
        assert "--maxmemory" in done.stdout, "the diff shows nothing"
    assert PASSWORD in project.file.read_text()
