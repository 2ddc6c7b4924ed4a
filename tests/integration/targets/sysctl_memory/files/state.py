# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's memory settings and the folders of the boot, saved, compared and put back without the module under test.

`state.py save|compare|restore FILE`
"""

from __future__ import annotations

import contextlib
import json
import os
import sys

LIVE = [
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/kernel/mm/transparent_hugepage/defrag",
    "/proc/sys/vm/min_free_kbytes",
    "/proc/sys/vm/swappiness",
    "/proc/sys/vm/vfs_cache_pressure",
    "/proc/sys/vm/dirty_background_bytes",
    "/proc/sys/vm/dirty_background_ratio",
    "/proc/sys/vm/dirty_bytes",
    "/proc/sys/vm/dirty_ratio",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/overcommit_kbytes",
    "/proc/sys/vm/overcommit_ratio",
    "/proc/sys/vm/max_map_count",
    "/proc/sys/net/ipv4/conf/lo/rp_filter",
    "/proc/sys/net/ipv4/tcp_rmem",
]
FOLDERS = ["/etc/sysctl.d", "/etc/tmpfiles.d", "/run/sysctl.d", "/usr/lib/sysctl.d"]


def read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def observe() -> dict:
    files = {}
    for folder in FOLDERS:
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else [None]:
            path = os.path.join(folder, name or "")
            files[path] = [os.lstat(path).st_mode, read(path)] if name else None
    return {"live": {path: read(path) for path in LIVE}, "files": files}


def restore(before: dict) -> None:
    for path, text in before["live"].items():
        if text is None or read(path) == text:
            continue
        chosen = text[text.index("[") + 1 : text.index("]")] if "[" in text else text
        # 0 for one of a pair is refused; its partner brings it about.
        with contextlib.suppress(OSError), open(path, "w", encoding="utf-8") as stream:
            stream.write(chosen)
    for path in observe()["files"]:
        if path not in before["files"] and os.path.isfile(path):
            os.unlink(path)


def main() -> None:
    action, path = sys.argv[1:]
    if action == "save":
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            json.dump(observe(), stream)
        return
    with open(path, encoding="utf-8") as stream:
        before = json.load(stream)
    if action == "restore":
        restore(before)
    now = observe()
    differing = {
        f"{part} {key}": [before[part].get(key), now[part].get(key)]
        for part in now
        for key in {*before[part], *now[part]}
        if before[part].get(key) != now[part].get(key)
    }
    if differing:
        sys.exit(f"differs from before [before, now]: {json.dumps(differing, indent=1)}")


main()
