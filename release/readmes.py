# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The README of every role, made from its argument specification; Galaxy refuses a role without one.

What stands above the mark in a README is written by hand and kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

MARK = "<!-- Made from meta/argument_specs.yml: change that, then run `python3 -m release readmes`. -->"

# Semantic markup of Ansible's documentation: https://docs.ansible.com/ansible/latest/dev_guide/ansible_markup.html
_CODE = re.compile(r"\b[OVCE]\(((?:[^()\\]|\\.)*)\)")
_NAME = re.compile(r"\b[MPI]\(([^()]*)\)")


def markdown(text: str) -> str:
    """Return one paragraph of Ansible's documentation in Markdown, fit for a cell of a table."""
    text = _NAME.sub(lambda match: f"`{match[1].partition('#')[0]}`", text)
    text = _CODE.sub(lambda match: "`" + match[1].replace("\\", "") + "`", text)
    return text.replace("|", "\\|")


def _paragraphs(text: str | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else list(text)


def _kind(option: dict[str, Any]) -> str:
    kind = option.get("type", "str")
    return f"{kind} of {option['elements']}" if "elements" in option else kind


def _default(option: dict[str, Any]) -> str:
    if option.get("required"):
        return "**required**"
    if "default" not in option:
        return ""
    value = option["default"]
    return f"`{value if isinstance(value, str) and value else json.dumps(value)}`"


def rows(options: dict[str, dict[str, Any]], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Yield name, type, default and description of each option; an option's own options follow it as `option.name`."""
    for name, option in options.items():
        described = " ".join(markdown(text) for text in _paragraphs(option.get("description", "")))
        if "choices" in option:
            described += " One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + "."
        yield f"`{prefix}{name}`", _kind(option), _default(option).replace("|", "\\|"), described.strip()
        yield from rows(option.get("options", {}), f"{prefix}{name}.")


def generated(specs: dict[str, Any]) -> str:
    """Return what a README says below the mark: description and table of options of the role's `main`."""
    main = specs["argument_specs"]["main"]
    lines = [markdown(main["short_description"]) + ".", ""]
    lines += [f"- {markdown(text)}" for text in _paragraphs(main.get("description", []))]
    table = list(rows(main.get("options", {})))
    if table:
        lines += ["", "| variable | type | default | |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(cells)} |" for cells in table]
    return "\n".join(lines) + "\n"


def readme(role: Path) -> str:
    """Return the text that roles/NAME/README.md has to have."""
    file = role / "README.md"
    above = file.read_text(encoding="utf-8").partition(MARK)[0].rstrip() if file.exists() else ""
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text(encoding="utf-8"))
    return f"{above or f'# {role.name}'}\n\n{MARK}\n\n{generated(specs)}"


def outdated(roles: Path) -> list[Path]:
    """Return the READMEs that are missing or not what they have to be."""
    found = []
    for role in sorted(roles.iterdir()):
        file = role / "README.md"
        if (role / "meta/argument_specs.yml").exists() and (
            not file.exists() or file.read_text(encoding="utf-8") != readme(role)
        ):
            found.append(file)
    return found


def write(roles: Path) -> list[Path]:
    """Bring every README up to date and return those that were written."""
    files = outdated(roles)
    for file in files:
        file.write_text(readme(file.parent), encoding="utf-8")
    return files
