# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Through Ansible itself, as talkative as it gets: no password in any of its output."""

from __future__ import annotations

from conftest import play

PASSWORD = "never-to-be-seen"
NEW = "nor-is-the-next-one"

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
    - smallhost.headroom.redis_maxmemory:
        port: {port}
        password: "{password}"
        settings: [{{name: requirepass, value: "{new}"}}, {{name: timeout, value: 300}}]
        state_dir: "{state}"
"""


def test_no_password_at_four_times_verbose(stack, bare, tmp_path):
    text = f'services:\n  redis:\n    image: IMAGE\n    command: ["redis-server", "--requirepass", "{PASSWORD}"]\n'
    project = stack(text)
    server = bare(None, "--requirepass", PASSWORD, password=PASSWORD)
    playbook = PLAYBOOK.format(
        folder=project.folder, state=tmp_path / "state", port=server.port, password=PASSWORD, new=NEW
    )
    for mode in (["--check"], []):
        said = play(playbook, tmp_path, "-vvvv", "--diff", *mode)
        assert PASSWORD not in said and NEW not in said
        assert "--maxmemory" in said, "the diff shows nothing"
    assert PASSWORD in project.file.read_text()
    assert server.client(password=NEW).ping()
