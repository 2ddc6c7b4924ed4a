# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ruff and deptry say of the source, put into this audit's words. They run on the operator's machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.code_audit.finding import (
    HIGH,
    LOW,
    MEDIUM,
    CodeFinding,
)

# ruff's rules: calls that block in async functions, waste in loops, requests without an end.
RULES = ("ASYNC", "PERF", "S113")
SECONDS = 120.0

_RUFF = {
    "ASYNC": (
        HIGH,
        12,
        "The process does nothing for any other user meanwhile.",
        "The asynchronous counterpart, or await asyncio.to_thread(...).",
    ),
    "PERF": (LOW, 11, "Time, and a little memory, at every turn.", "As ruff says."),
    "S113": (
        HIGH,
        12,
        "A provider that does not answer holds the worker, the thread or the user for ever.",
        "timeout=30, or what the longest good answer takes and half as much again.",
    ),
}


class ToolMissing(Exception):
    """A tool is not installed on the controller."""


def find_tool(name: str) -> list[str]:
    """The command line that runs a tool: beside this Python, else on PATH. Raises ToolMissing."""
    beside = os.path.join(os.path.dirname(sys.executable), name)
    found = beside if os.access(beside, os.X_OK) else shutil.which(name)
    if not found:
        raise ToolMissing(
            f"{name} is not installed on the controller, so what it looks for is not in the audit. "
            f"Install it where Ansible runs: pip install {name}"
        )
    return [found]


def ruff(root: str) -> list[CodeFinding]:
    """Raises ToolMissing, ValueError where ruff fails."""
    argv = [*find_tool("ruff"), "check", "--isolated", "--no-cache", "--output-format", "json", "--exit-zero"]
    argv += ["--select", ",".join(RULES), root]
    return read_ruff(_output(argv, root), root)


def read_ruff(text: str, root: str) -> list[CodeFinding]:
    """ruff's JSON as findings."""
    found = []
    for entry in json.loads(text or "[]"):
        code = entry.get("code") or ""
        rule = next((rule for rule in RULES if code.startswith(rule)), None)
        if rule is None:
            continue  # a file that it cannot parse
        severity, item, cost, remedy = _RUFF[rule]
        kind = {"ASYNC": "blocking_call", "PERF": "waste_in_loop", "S113": "no_timeout"}[rule]
        path = os.path.relpath(entry["filename"], root)
        line = entry["location"]["row"]
        found.append(CodeFinding(kind, severity, path, line, f"{entry['message']} ({code})", cost, remedy, item))
    return found


def deptry(
    root: str, modules: Mapping[str, Sequence[str]], sizes: Mapping[str, int], commands: Sequence[str] = ()
) -> list[CodeFinding]:
    """Dependencies that nothing imports and no service's command runs.

    `modules`: distribution -> what it is imported as; `sizes`: its bytes on disk.
    Raises ToolMissing, ValueError where deptry fails, OSError.
    """
    tool = find_tool("deptry")
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report.json")
        argv = [*tool, root, "--json-output", report, "--ignore", "DEP001,DEP003,DEP004,DEP005", "--no-ansi"]
        # deptry wants a pyproject.toml; its own settings come from the command line.
        if not os.path.exists(os.path.join(root, "pyproject.toml")):
            argv += ["--config", os.path.join(folder, "pyproject.toml")]
            with open(argv[-1], "w") as stream:
                stream.write("[tool.deptry]\n")
        files = requirements(root)
        if files:
            argv += ["--requirements-files", ",".join(files)]
        known = [f"{name}={'|'.join(names)}" for name, names in sorted(modules.items()) if names]
        if known:
            argv += ["--package-module-name-map", ",".join(known)]
        _output(argv, root, codes=(0, 1))
        with open(report) as stream:
            return read_deptry(stream.read(), root, sizes, programs(commands))


def requirements(root: str) -> list[str]:
    """The requirements files of a project: by name in its folder, those for development left out."""
    named = sorted(
        name for name in os.listdir(root) if name.startswith("requirements") and name.endswith((".txt", ".in"))
    )
    return [name for name in named if not any(word in name for word in ("dev", "test", "lint", "doc"))]


def programs(commands: Sequence[str]) -> set[str]:
    """Words of commands that may be a distribution's program: `uvicorn` of `/venv/bin/uvicorn app:app`."""
    return {canonical(os.path.basename(word)) for command in commands for word in command.split()}


def read_deptry(text: str, root: str, sizes: Mapping[str, int], used: Collection[str] = ()) -> list[CodeFinding]:
    """deptry's JSON as findings. `used`: distributions in use whatever the source says."""
    found = []
    for entry in json.loads(text or "[]"):
        name, place = entry["module"], entry["location"]
        if entry["error"]["code"] != "DEP002" or canonical(name) in used:
            continue
        path = os.path.relpath(place["file"], root) if os.path.isabs(place["file"]) else place["file"]
        line = place.get("line") or line_of(os.path.join(root, path), name)
        found.append(unused(name, path, line, sizes.get(canonical(name))))
    return found


def line_of(path: str, name: str) -> int:
    """The line of a file that begins with a distribution's name; 0 where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            for number, line in enumerate(stream, 1):
                written = re.match(r"[\s\"']*([A-Za-z0-9._-]+)", line)
                if written and canonical(written[1]) == canonical(name):
                    return number
    except OSError:
        return 0
    return 0


def unused(name: str, path: str, line: int, size: int | None) -> CodeFinding:
    """A dependency that no file imports. `size` in bytes of its own files in the image."""
    known = f"{size / 1e6:.1f} MB in the image, and what it depends on" if size else "Its part of the image"
    return CodeFinding(
        kind="unused_dependency",
        severity=LOW if not size or size < 10_000_000 else MEDIUM,
        path=path,
        line=line,
        what=f"nothing imports {name}",
        cost=f"{known}.",
        remedy="Take it out, unless something loads it by name: a database driver, a plugin, a command.",
        item=4,
    )


def canonical(name: str) -> str:
    """A distribution's name as PyPI compares names (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _output(argv: Sequence[str], root: str, codes: Sequence[int] = (0,)) -> str:
    environment: dict[str, Any] = {**os.environ, "NO_COLOR": "1"}
    try:
        done = subprocess.run(
            list(argv), cwd=root, env=environment, check=False, capture_output=True, text=True, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ValueError(f"{os.path.basename(argv[0])} could not run: {error}") from error
    if done.returncode not in codes:
        raise ValueError(f"{os.path.basename(argv[0])} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout
