# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles played by the real Ansible, with stand-ins for the collection's modules: what they ask for and make of it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# What the roles read in the results of a run with nothing to do.
_MEMORY = dict.fromkeys(("dockerd", "containerd", "shims", "proxies", "journald", "total"), 1)
ANSWERS = {
    "swap_file": {"total": 1, "reason": ""},
    "sysctl_memory": {"settings": []},
    "systemd_settings": {"figures": {"before": {}, "after": {}}},
    "docker_daemon": {"memory": {"before": _MEMORY, "after": _MEMORY}, "restart_pending": [], "not_applied": []},
    "python_libraries_info": {"missing": []},
}

STAND_IN = """\
#!/usr/bin/python
# WANT_JSON
import json, sys
params = json.load(open(sys.argv[1]))
with open("{folder}/calls", "a") as calls:
    calls.write(json.dumps(["{name}", params], default=str) + chr(10))
answers = json.load(open("{folder}/answers"))
answer = answers.get("{name} %s" % params.get("undo_key"), answers.get("{name}", {{}}))
print(json.dumps(dict({{"changed": False, "services": [], "recreate_pending": []}}, **answer)))
"""

# The project as a test says that Compose sees it, with what really lies in the host's folder of the test.
LOOK = """\
#!/usr/bin/python
# WANT_JSON
import json, os, sys
sys.path.insert(0, "{utils}")
import project_view
params = json.load(open(sys.argv[1]))
model = json.load(open("{folder}/model.json"))
with open("{folder}/calls", "a") as calls:
    calls.write(json.dumps(["{name}", params]) + chr(10))
def words(name):
    return open("{folder}/" + name).read().split() if os.path.exists("{folder}/" + name) else []
print(json.dumps({{
    "changed": False, "project": "bot", "compose_argv": ["docker", "compose"], "images": words("images"),
    "services": project_view.services(model, params["environment"]), "unfinished": None,
    "containers": [{{"service": name, "running": True}} for name in words("running")],
    "tree": project_view.tree("{folder}/lib/bot", params["paths"]),
}}))
"""

# It keeps a list of what it was told to build and to remove.
DOCKER = """\
#!/bin/sh
case "$1 $2" in
  "image rm") grep -v -x "$3" {folder}/images > {folder}/left; mv {folder}/left {folder}/images ;;
  build*) for word; do case $word in --tag=*) echo "${{word#--tag=}}" >> {folder}/images ;; esac; done ;;
esac
"""


@dataclass
class Played:
    """What came of a run. `work`: whether rollout has any. `changed`: of which items. `calls`: modules, parameters."""

    output: str
    work: bool
    changed: list
    calls: list

    def of(self, name, **params):
        """The calls of one module that have these parameters."""
        return [given for called, given in self.calls if called == name and params.items() <= given.items()]


class Stage:
    """Plays a stage's role on this machine: nothing of the collection's modules is run, Ansible's own are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        collection = folder / "ansible_collections/smallhost/headroom"
        (collection / "plugins/modules").mkdir(parents=True)
        for kind in ("lookup", "filter", "module_utils"):
            (collection / "plugins" / kind).symlink_to(ROOT / "plugins" / kind)
        for name in ("roles", "playbooks", "meta", "galaxy.yml"):
            (collection / name).symlink_to(ROOT / name)
        for module in ROOT.glob("plugins/modules/*.py"):
            text = LOOK if module.stem == "compose_project_info" else STAND_IN
            text = text.format(folder=folder, name=module.stem, utils=ROOT / "plugins/module_utils")
            (collection / "plugins/modules" / module.name).write_text(text)

    def ansible(self, *arguments, answers=None, **variables):
        """Run ansible-playbook; returns its exit code and its output."""
        (self.folder / "calls").write_text("")
        (self.folder / "answers").write_text(json.dumps({**ANSWERS, **(answers or {})}))
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder),
            "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false",
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            [sys.executable, "-m", "ansible.cli.playbook", *arguments, "-e", json.dumps(variables)],
            cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    @contextlib.contextmanager
    def engine(self, **programs):
        """Have `docker` be a stand-in that keeps a list of images, and other programs these texts."""
        (self.folder / "images").touch()
        for name, text in {"docker": DOCKER.format(folder=self.folder), **programs}.items():
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o755)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", str(self.folder), prepend=":")
            yield

    def play(self, stage, check=False, answers=None, model=None, **variables):
        """Play one stage's role, and ask rollout's variables what they make of it. `model`: what Compose says."""
        if model:
            (self.folder / "model.json").write_text(json.dumps(model))
        items = "rollout_items | zip(rollout_results | map(attribute='changed')) | selectattr(1) | map('first') | sort"
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"rollout_stage": stage, "headroom_project_src": "/opt/bot"},
            "vars_files": [str(ROOT / "roles/rollout/vars/main.yml")],
            "tasks": [
                {
                    "ansible.builtin.include_role": {
                        "name": f"smallhost.headroom.{stage}",
                        "apply": {"check_mode": check},
                    }
                },
                {
                    "ansible.builtin.copy": {
                        "content": f"{{{{ {{'work': rollout_work | bool, 'changed': {items}}} | to_json }}}}",
                        "dest": str(self.folder / "made_of_it"),
                    },
                    "changed_when": False,
                },
            ],
        }
        (self.folder / "play.yml").write_text(json.dumps([play]))
        code, output = self.ansible("play.yml", answers=answers, **variables)
        assert code == 0, output
        calls = [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]
        return Played(output, **json.loads((self.folder / "made_of_it").read_text()), calls=calls)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """See Stage."""
    pytest.importorskip("ansible.cli.playbook", reason="needs a controller")
    return Stage(tmp_path_factory.mktemp("stage"))
