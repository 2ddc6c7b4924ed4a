# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service that extends another in the same file takes over its limit: never without having been asked for."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import change
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.edit import Set
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.project import Project, ProjectError

TEXT = b"""\
services:
  a: {image: x, mem_limit: 100M}
  b:
    extends: {service: a}
"""


def compose_answers() -> bool:
    try:
        return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not compose_answers(), reason="Docker Compose is not installed")


@pytest.fixture
def project(tmp_path):
    base = tmp_path / "compose.yaml"
    base.write_bytes(TEXT)
    return Project(str(tmp_path), (str(base),), True, known_name="p")


def limit(name, value):
    return Set(("services", name, "mem_limit"), value)


def test_the_heir_is_named(project):
    with pytest.raises(ProjectError, match=r"services\.b\.mem_limit\. b would take them over through extends\."):
        change.prepare(project, project.files[0], [limit("a", "150M")])


def test_listed_with_it_each_has_its_own(project):
    prepared = change.prepare(project, project.files[0], [limit("a", "150M"), limit("b", "100M")])
    found = {name: service["mem_limit"] for name, service in prepared.model["services"].items()}
    assert found == {"a": str(150 * 1024**2), "b": str(100 * 1024**2)}
