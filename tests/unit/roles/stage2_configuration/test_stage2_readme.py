# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No kernel setting without its reason: the role's README and docs/kernel-settings.md know the values that are set."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = next(path for path in Path(__file__).resolve().parents if (path / "galaxy.yml").exists())
ROLE = ROOT / "roles/stage2_configuration"


def wanted():
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    found = {entry["name"]: str(entry["value"]) for entry in defaults["stage2_configuration_sysctl"]}
    hugepages = defaults["stage2_configuration_transparent_hugepage"].items()
    return {**found, **{f"transparent_hugepage.{name}": value for name, value in hugepages}}


def rows(file):
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in file.read_text().splitlines()]
    return {row[0].strip("`"): row[1:] for row in cells if len(row) > 3 and row[0].startswith("`")}


@pytest.mark.parametrize("name", wanted())
def test_every_kernel_setting_is_explained_with_its_source(name):
    told = rows(ROLE / "README.md")[name]
    assert told[0] == wanted()[name]
    assert len(told[2]) > 60 and re.search(r"\]\(https://", told[3])
    assert wanted()[name] in " ".join(rows(ROOT / "docs/kernel-settings.md")[name])


def test_nothing_is_explained_that_is_not_set():
    told = [name for name in rows(ROLE / "README.md") if name.startswith(("vm.", "net.", "transparent_hugepage."))]
    assert sorted(told) == sorted(wanted())
