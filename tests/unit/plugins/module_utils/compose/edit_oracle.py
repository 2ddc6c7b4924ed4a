# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the editor judge by: other parsers, the lines of the text, and Compose itself."""

from __future__ import annotations

import difflib
import functools
import json
import os
import pathlib
import re
import shutil
import subprocess

import yaml

_MISSING = re.compile(r"env file (?P<file>.+?) not found|required variable (?P<variable>\w+) is missing")


@functools.cache
def has_compose() -> bool:
    """Tell whether Compose v2 can be run here."""
    docker = shutil.which("docker")
    return (
        bool(docker)
        and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0
    )


def compose_model(data: bytes, folder: pathlib.Path, *options: str) -> dict | str:
    """Return Compose's model of a file's text, or its error.

    Files that the text asks for are made, empty, in ``folder`` or up to two levels above; required variables are set.
    """
    path = folder / "compose.yaml"
    path.write_bytes(data)
    argv = ["docker", "compose", "--project-name", "edit", "-f", str(path), "--project-directory", str(folder)]
    argv += ["--profile", "*", "config", "--format", "json", "--no-path-resolution", *options]
    environment = dict(os.environ)
    for _attempt in range(20):
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=environment)
        missing = _MISSING.search(done.stderr) if done.returncode else None
        if missing is None or not _supply(missing, folder, environment):
            break
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def _supply(missing: re.Match[str], folder: pathlib.Path, environment: dict[str, str]) -> bool:
    if missing["variable"]:
        environment[missing["variable"]] = "x"
        return True
    file = pathlib.Path(os.path.normpath(folder / missing["file"]))
    if folder.parents[2] not in file.parents or file.exists():
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return True


class AnyTag(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """libyaml's loader, which knows nothing of the editor, with Compose's own tags."""


def _untagged(loader, _suffix, node):
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else node.value


def _decimal(kind):
    """A number, but not one of YAML 1.1 to the base of 60: for Compose, 25:25 is a text."""
    construct = getattr(AnyTag, f"construct_yaml_{kind}")
    return lambda loader, node: node.value if ":" in node.value else construct(loader, node)


AnyTag.add_multi_constructor("!", _untagged)
for _kind in ("int", "float"):
    AnyTag.add_constructor(f"tag:yaml.org,2002:{_kind}", _decimal(_kind))


def touched_lines(before: bytes, after: bytes) -> tuple[list[int], list[str]]:
    """Return the numbers (from 1) of the old lines that are not in the new text, and the new lines that were not."""
    old, new = before.decode().splitlines(), after.decode().splitlines()
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    matcher = difflib.SequenceMatcher(None, old[start:], new[start:], autojunk=False)
    gone: list[int] = []
    come: list[str] = []
    for kind, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if kind != "equal":
            gone += range(start + old_from + 1, start + old_to + 1)
            come += new[start + new_from : start + new_to]
    return gone, come


def take(data: dict, path: tuple) -> object:
    """Remove a value and the mappings that it leaves empty; return it, None where there is none."""
    if path[0] not in data:
        return None
    if len(path) == 1:
        return data.pop(path[0])
    value = take(data[path[0]], path[1:]) if isinstance(data[path[0]], dict) else None
    if not data[path[0]]:
        del data[path[0]]
    return value
