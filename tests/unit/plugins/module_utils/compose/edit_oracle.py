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
import shutil
import subprocess
import tempfile

BREAKS = "\r\n\x85\u2028\u2029"


@functools.cache
def has_compose() -> bool:
    """Tell whether Compose v2 can be run here."""
    docker = shutil.which("docker")
    return bool(docker) and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0


def compose_model(data: bytes, folder: str | os.PathLike, *options: str) -> dict | str:
    """Return Compose's model of a file's text, or its error."""
    with tempfile.TemporaryDirectory(prefix="a1-") as scratch:
        path = pathlib.Path(scratch, "compose.yaml")
        path.write_bytes(data)
        argv = ["docker", "compose", "--project-name", "edit", "-f", str(path), "--project-directory", str(folder)]
        argv += ["--profile", "*", "config", "--format", "json", "--no-path-resolution", *options]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip()


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
