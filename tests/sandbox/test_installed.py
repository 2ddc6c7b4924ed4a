# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The package as an operator gets it: built, installed into an empty project, used by full names only.

HEADROOM_STACK_HOST names a host that runs the reference stack already; it is left as it was. HEADROOM_ANSIBLE names the
folder of another Ansible's programs, which are then used to build, install and run (`python3 -m release matrix`).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from release import package
from sandbox import fingerprint, playbook
from sandbox.environment import ROOT
from sandbox.stack import TARGET
from sandbox.stack_images import PROJECT

ANSIBLE = os.environ.get("HEADROOM_ANSIBLE", "")
NAME = "smallhost.headroom"


class Project:
    """An operator's empty folder with the collection in it, and nothing else of ours in reach."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        built = package.build(folder, self.program("ansible-galaxy"))
        self.collection = package.install(built, folder, self.program("ansible-galaxy")) / (
            "ansible_collections/smallhost/headroom"
        )
        built.unlink()

    @staticmethod
    def program(name: str) -> str:
        return str(Path(ANSIBLE) / name)

    def call(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
        variables["ANSIBLE_COLLECTIONS_PATH"] = str(self.folder / "collections")
        return subprocess.run(
            [self.program(name), *arguments],
            cwd=self.folder, env=variables, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def playbook(self, name: str, inventory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.call("ansible-playbook", "-i", str(inventory), f"{NAME}.{name}", *arguments)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("project"))


def names(folder: Path, pattern: str) -> list[str]:
    return sorted(path.stem if path.is_file() else path.name for path in folder.glob(pattern))


def test_every_playbook_is_there_and_parses(project):
    found = names(project.collection, "playbooks/*.yml")
    assert found == names(ROOT, "playbooks/*.yml")
    for name in found:
        done = project.call("ansible-playbook", "-i", "one,", "--syntax-check", f"{NAME}.{name}", "-e", "stage=1")
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("kind", "pattern"), [("module", "plugins/modules/*.py"), ("role", "roles/*")])
def test_everything_is_documented(project, kind, pattern):
    wanted = {f"{NAME}.{name}" for name in names(project.collection, pattern)}
    done = project.call("ansible-doc", "--json", "--type", kind, *sorted(wanted))
    assert done.returncode == 0, done.stderr
    described = json.loads(done.stdout)
    assert set(described) == wanted
    for name, entry in described.items():
        assert entry.get("doc") or entry.get("entry_points", {}).get("main"), name
    assert "[ERROR]" not in done.stderr, done.stderr


def test_the_operator_is_told_which_variable_is_wrong(project):
    """Argument specifications are checked before anything is done: no host is needed for that."""
    service = {"role": "bott", "service": "a", "memory": "1M"}
    variables = {"headroom_project_src": "/opt/x", "headroom_services": [service], "ansible_become": False}
    done = project.playbook("audit", Path("one,"), "-c", "local", "-e", json.dumps(variables))
    assert done.returncode == 2, done.stdout
    assert "bott" in done.stdout and "other" in done.stdout, done.stdout


@pytest.mark.parametrize(("serial", "reached"), [(None, 1), ([2, "100%"], 2)])
def test_hosts_at_a_time_are_the_inventorys(project, instance, tmp_path, serial, reached):
    connection = yaml.safe_load(instance.inventory.read_text())["all"]["hosts"]["smallhost"]
    variables = {"headroom_project_src": "/opt/nowhere", **({"headroom_serial": serial} if serial else {})}
    inventory = tmp_path / "inventory.yml"
    hosts = dict.fromkeys(["first", "second", "third", "fourth"], connection)
    inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": variables}}, sort_keys=False))
    done = project.playbook("stage1", inventory)
    assert done.returncode == 2, done.stdout
    failed = re.findall(r"^fatal: \[(\w+)\]: FAILED!|^\[ERROR\]: .*\[(\w+)\]", done.stdout, re.MULTILINE)
    assert sorted({one or other for one, other in failed}) == sorted(list(hosts)[:reached]), done.stdout


def test_stage1_by_its_full_name(project, instance):
    """Check, apply, apply again, plan the other stages, audit, take back: from the installed package alone."""
    inventory, variables = instance.inventory, ["-e", f"@{playbook.VARIABLES}", "-e", "headroom_guard_seconds=0"]

    def run(name: str, *options: str) -> int:
        done = project.playbook(name, inventory, *variables, *options)
        assert done.returncode == 0, done.stdout + done.stderr
        return playbook.changed(done.stdout)

    run("prepare")
    before = fingerprint.take(instance, PROJECT, TARGET)
    assert run("stage1", "--check", "--diff") > 0
    assert fingerprint.differences(before, fingerprint.take(instance, PROJECT, TARGET), same_containers=True) == []
    assert run("stage1") > 0
    try:
        assert run("stage1") == 0
        assert run("stage1", "--check") == 0
        assert run("site", "--check") > 0  # the other stages' plans: all their modules and templates
        run("audit")
        run("code_audit")
    finally:
        run("rollback", "-e", "stage=1")
    assert fingerprint.differences(before, fingerprint.take(instance, PROJECT, TARGET), same_containers=False) == []
