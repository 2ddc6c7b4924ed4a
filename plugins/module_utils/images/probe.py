# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs inside an image, as `python3 -c`: what the application imports and whether that works, what is installed.

Nothing of the application itself is imported, because it may begin to work then. Needs nothing but Python 3.7.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable

MOST_FILES = 3000
PASSED_OVER = ("node_modules", "site-packages", "dist-packages", ".git", ".venv", "venv")


def imported(source: str) -> set[str]:
    """The absolute modules that a Python text imports, `a.b` and `a` for `from a import b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def sources(root: str) -> list[str]:
    """The application's Python files."""
    found: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in PASSED_OVER]
        found += [os.path.join(folder, name) for name in names if name.endswith(".py")]
        if len(found) > MOST_FILES:
            break
    return found[:MOST_FILES]


def application_imports(root: str) -> list[str]:
    """What the application imports that is not part of itself."""
    files = sources(root)
    own = {os.path.splitext(os.path.basename(path))[0] for path in files}
    own |= {os.path.basename(os.path.dirname(path)) for path in files}
    found: set[str] = set()
    for path in files:
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                found |= imported(stream.read())
        except (OSError, SyntaxError, ValueError, RecursionError):
            continue
    return sorted(name for name in found if name.split(".")[0] not in own and name.split(".")[0] != "antigravity")


def tried(names: Iterable[str]) -> dict[str, str]:
    """Name -> what went wrong when it was imported, or an empty text."""
    found = {}
    for name in names:
        try:
            importlib.import_module(name)
            found[name] = ""
        except BaseException as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


def libraries(folders: Iterable[str]) -> list[str]:
    """The shared libraries that binaries below these folders want and the system has not."""
    walks = (entry for root in folders for entry in os.walk(root))
    files = [os.path.join(folder, name) for folder, _folders, names in walks for name in names]
    binaries = [path for path in files if re.search(r"\.so(\.[0-9]+)*$", path)]
    missing: set[str] = set()
    for start in range(0, len(binaries), 200):
        argv = ["ldd", *binaries[start : start + 200]]
        try:
            done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        except OSError:
            break
        missing.update(re.findall(r"^\s*(\S+) => not found", done.stdout, re.MULTILINE))
    return sorted(missing)


def packages(folders: Iterable[str]) -> dict[str, str]:
    """Installed distribution -> version, by the names of their metadata folders."""
    found = {}
    for root in folders:
        for name in os.listdir(root) if os.path.isdir(root) else []:
            match = re.match(r"(.+?)-([^-]+)\.(?:dist|egg)-info$", name)
            if match:
                found[re.sub(r"[-_.]+", "-", match.group(1)).lower()] = match.group(2)
    return found


def main(programs: Iterable[str]) -> None:
    """Write the findings on one line."""
    folders = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    here = os.getcwd()
    # Not from the root: that would be the whole system.
    imports = application_imports(here) if here != "/" else []
    report = {
        "packages": packages(folders),
        "programs": {name: bool(shutil.which(name)) for name in programs},
        "unresolved": libraries(folders),
        "imports": tried(imports),
    }
    sys.stdout.flush()
    # Straight to the descriptor: what was imported may have put something else in the place of sys.stdout.
    os.write(1, f"\nheadroom-probe: {json.dumps(report)}\n".encode())
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
