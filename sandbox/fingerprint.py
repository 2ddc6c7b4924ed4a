# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python3 -m sandbox.fingerprint: has a run changed anything on the host, and has an undo brought everything back?"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from pathlib import Path
from typing import Any

from sandbox import probe, ssh, state
from sandbox.process import SandboxError, say
from sandbox.state import Instance

# What is compared of a container. Its identity is added where it must not even have been restarted.
SETTINGS = ("image", "limit", "limit_with_swap", "reservation", "commands")
IDENTITY = ("id", "started")
# Python's own helper processes carry numbers that differ from start to start; a health check may be at work just now.
PASSING = ("spawn_main", "tracker", "runc init", "pgrep ", "curl ", "redis-cli ")
COUNTERS = ("evicted_keys", "used_memory", "redis_version")


def measure(instance: Instance, project: str) -> dict[str, Any]:
    """Run the probe on the host and return what it says (see sandbox/probe.py)."""
    source = inspect.getsource(probe).encode()
    return json.loads(ssh.execute(instance, "python3", "-", project, stdin=source))


def take(instance: Instance, project: str, folder: str) -> dict[str, Any]:
    """Return checksums of all files below `folder` and /etc, what runs in the project, and the kernel's values."""
    listing = ssh.execute(
        instance,
        f"find {folder} /etc -type f -printf '%m ' -exec sha256sum {{}} \\; | sort -k3; "
        "find /etc -type l -printf '%p -> %l\\n' | sort",
    )
    seen = measure(instance, project)
    for entry in seen["containers"]:
        words = {line.partition(" ")[2].strip() for line in entry["processes"]}
        entry["commands"] = sorted(word for word in words if not any(part in word for part in PASSING))
    return {
        "files": listing.splitlines(),
        "containers": {
            entry["service"]: {key: entry[key] for key in SETTINGS + IDENTITY} for entry in seen["containers"]
        },
        "redis": {key: value for key, value in seen["redis"].items() if key not in COUNTERS},
        "kernel": seen["kernel"],
    }


def differences(before: dict[str, Any], after: dict[str, Any], same_containers: bool) -> list[str]:
    """Return a line for every setting, file and (with `same_containers`) container that is not as it was."""
    found = [f"file: {line}" for line in sorted(set(before["files"]) ^ set(after["files"]))]
    for service in sorted(before["containers"].keys() | after["containers"].keys()):
        old, new = before["containers"].get(service, {}), after["containers"].get(service, {})
        keys = SETTINGS + IDENTITY if same_containers else SETTINGS
        found += [f"{service} {key}: {old.get(key)} -> {new.get(key)}" for key in keys if old.get(key) != new.get(key)]
    for part in ("redis", "kernel"):
        old, new = before[part], after[part]
        found += [
            f"{part} {key}: {old.get(key)} -> {new.get(key)}"
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        ]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m sandbox.fingerprint", description=__doc__)
    parser.add_argument("action", choices=["save", "compare"])
    parser.add_argument("--name", default="smallhost", help="name of the host")
    parser.add_argument("--project", required=True, help="name of the Compose project")
    parser.add_argument("--folder", required=True, help="folder on the host whose files count")
    parser.add_argument("--file", required=True, type=Path, help="where the fingerprint is kept")
    parser.add_argument("--same-containers", action="store_true", help="compare: nothing may have been restarted")
    options = parser.parse_args()
    try:
        now = take(state.require(options.name), options.project, options.folder)
    except SandboxError as error:
        say(f"error: {error}")
        return 1
    if options.action == "save":
        options.file.write_text(json.dumps(now, indent=1))
        return 0
    found = differences(json.loads(options.file.read_text()), now, options.same_containers)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
