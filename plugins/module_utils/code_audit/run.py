# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All of the audit of the code in one go: the project's own source, the tools, and what was measured in the image."""

from __future__ import annotations

import os
import pkgutil
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.code_audit import blocking, tools, waste
from ansible_collections.smallhost.headroom.plugins.module_utils.code_audit.finding import (
    LOW,
    MEDIUM,
    CodeFinding,
    ordered,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.code_audit.source import Project, read_project

# An import below this is not worth a line; one above the other is a fifth of a small process's limit.
WORTH_MB, LARGE_MB = 5.0, 25.0
# What makes most of its memory at import, and the stage 4 feature that takes it away.
LAZY = ("aiogram",)


def standard_library() -> frozenset[str]:
    """Names of the standard library's modules; before Python 3.10, those that this interpreter has."""
    listed: frozenset[str] | None = getattr(sys, "stdlib_module_names", None)
    if listed is not None:
        return listed
    folder = sysconfig.get_path("stdlib")
    installed = pkgutil.iter_modules([folder, os.path.join(folder, "lib-dynload")])
    return frozenset(sys.builtin_module_names).union(module.name for module in installed)


def imports(root: str) -> dict[str, list[str]]:
    """Third-party modules that the source imports, by their top-level names, with the statements. Raises OSError."""
    found, standard = read_project(root).import_statements(), standard_library()
    return {name: found[name] for name in sorted(found) if name not in standard}


def import_costs(project: Project, measured: Mapping[str, Mapping[str, Any]]) -> list[CodeFinding]:
    """A finding for each import that costs something. `measured`: name -> `mb`, `seconds`, or `error`."""
    places, found = project.top_level_imports(), []
    for name, cost in measured.items():
        if name not in places or cost.get("mb", 0.0) < WORTH_MB:
            continue
        path, line = places[name][0]
        remedy = "Import it in the function that needs it, where few requests do; or import less of it."
        if name in LAZY:
            remedy = "Stage 4's lazy-models takes most of it away, without a change of the code."
        found.append(
            CodeFinding(
                kind="import_memory",
                severity=MEDIUM if cost["mb"] >= LARGE_MB else LOW,
                path=path,
                line=line,
                what=f"import {name}, in {len(places[name])} places" if len(places[name]) > 1 else f"import {name}",
                cost=f"{cost['mb']:.1f} MB in each process that imports it, and {cost['seconds']:.2f} s of its start.",
                remedy=remedy,
                item=11,
            )
        )
    return found


def audit(
    root: str, profiles: Sequence[Mapping[str, Any]], commands: Sequence[str] = ()
) -> tuple[list[CodeFinding], list[str]]:
    """All findings, and in sentences what could not be looked at.

    `profiles`: what import_profile.py printed; `commands`: of the services, whose programs are dependencies in use.
    Raises OSError where the source cannot be read.
    """
    project = read_project(root)
    warnings = [f"{path} could not be read: {reason}." for path, reason in project.broken.items()]
    measured: dict[str, Any] = {}
    modules: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for profile in profiles:
        measured.update({name: cost for name, cost in profile["imports"].items() if "mb" in cost})
        modules.update(profile["modules"])
        sizes.update(profile["sizes"])
    found = [
        *blocking.blocking_calls(project),
        *waste.round_trips(project),
        *waste.whole_files(project),
        *waste.endless_clients(project),
        *import_costs(project, measured),
    ]
    for name, tool in (
        ("ruff", lambda: tools.ruff(root)),
        ("deptry", lambda: tools.deptry(root, modules, sizes, commands)),
    ):
        try:
            found += tool()
        except (tools.ToolMissing, ValueError) as error:
            warnings.append(str(error))
        except OSError as error:
            warnings.append(f"{name} could not run: {error}")
    return without_twins(ordered(found)), warnings


def without_twins(findings: Sequence[CodeFinding]) -> list[CodeFinding]:
    """One finding for a fault at a place: ruff and this audit may both see a call that blocks."""
    seen: set[tuple[str, str, int]] = set()
    kept = []
    for one in findings:
        place = (one.kind, one.path, one.line)
        if place not in seen or one.kind in ("unused_dependency", "import_memory"):
            kept.append(one)
        seen.add(place)
    return kept
