# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each import of an application costs, asked of an image's own Python: python3 - JSON < this file.

The argument maps names to lists of import statements. Prints JSON: `imports`, for each name the MB of private memory
and the seconds that its statements take by themselves, or the error; `modules`, for each distribution what it is
imported as; `sizes`, its files in bytes. Python 3.8 and later.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

SECONDS = 120.0
ONE = """
import sys, time
def held():
    with open('/proc/self/status') as stream:
        return next((int(line.split()[1]) for line in stream if line.startswith('RssAnon:')), 0)
before, began = held(), time.perf_counter()
exec(sys.argv[1])
print(held() - before, time.perf_counter() - began)
"""


def cost(statements: list[str]) -> dict[str, object]:
    """Run import statements in an interpreter of their own."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", ONE, "\n".join(statements)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"was not imported within {SECONDS:.0f} seconds"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no reason given"])[-1]}
    kilobytes, seconds = done.stdout.split()[-2:]
    return {"mb": round(int(kilobytes) * 1024 / 1e6, 1), "seconds": round(float(seconds), 2)}


def installed() -> tuple[dict[str, list[str]], dict[str, int]]:
    """What each distribution is imported as, and how large it is."""
    from importlib.metadata import distributions

    modules, sizes = {}, {}
    for distribution in distributions():
        raw = distribution.metadata["Name"]
        if not raw:
            continue
        name = re.sub(r"[-_.]+", "-", raw).lower()
        files = distribution.files or []
        sizes[name] = sum(file.size or 0 for file in files)
        first = {file.parts[0] for file in files if len(file.parts) > 1 or file.suffix == ".py"}
        found = {part[:-3] if part.endswith(".py") else part for part in first}
        modules[name] = sorted(part for part in found if part.isidentifier() and not part.startswith("__"))
    return modules, sizes


if __name__ == "__main__":
    listed = installed()
    costs = {name: cost(statements) for name, statements in json.loads(sys.argv[1]).items()}
    print(json.dumps({"imports": costs, "modules": listed[0], "sizes": listed[1]}))
