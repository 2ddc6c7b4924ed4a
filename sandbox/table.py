# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The before/after table of the demo, from what the probe and the load reported."""

from __future__ import annotations

from typing import Any

Seen = dict[str, Any]
REDIS = {"maxmemory": "Redis maxmemory", "maxmemory-policy": "Redis policy", "evicted_keys": "Redis evicted keys"}


def megabytes(size: int | None) -> str:
    return "none" if size is None else f"{size / 1024**2:.1f} MB"


def seconds(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.2f} s"


def api_workers(seen: Seen) -> int:
    """Return how many processes serve the API: the children of uvicorn's supervisor, or the one process itself."""
    for entry in seen["containers"]:
        lines = [line for line in entry["processes"] if "uvicorn" in line or "spawn_main" in line]
        if any("uvicorn" in line for line in lines):
            return max(1, sum("spawn_main" in line for line in lines))
    return 0


def rows(before: Seen, after: Seen, during: list[Seen]) -> list[tuple[str, ...]]:
    """Return (name, before, after) for each line of the table."""
    old = {entry["service"]: entry for entry in before["containers"]}
    new = {entry["service"]: entry for entry in after["containers"]}
    table: list[tuple[str, ...]] = [
        ("host memory in use", megabytes(before["host"]["used"]), megabytes(after["host"]["used"])),
        ("host memory", megabytes(before["host"]["total"]), megabytes(after["host"]["total"])),
    ]
    for service in sorted(old.keys() | new.keys()):
        for key, name in (("working_set", "working set"), ("limit", "limit"), ("reservation", "reservation")):
            values = [megabytes(side[service][key]) if service in side else "gone" for side in (old, new)]
            table.append((f"{service}: {name}", *values))
    table.append(("API worker processes", str(api_workers(before)), str(api_workers(after))))
    for key, name in REDIS.items():
        values = [seen["redis"].get(key, "?") for seen in (before, after)]
        if key == "maxmemory":
            values = [megabytes(int(value)) if value.isdigit() else value for value in values]
        table.append((name, *values))
    kills = [sum(entry["oom_kills"] for entry in seen["containers"]) for seen in (before, after)]
    table.append(("kernel OOM kills", str(kills[0]), str(kills[1])))
    return table + load_rows(before["load"], after["load"], during)


def load_rows(before: Seen, after: Seen, during: list[Seen]) -> list[tuple[str, ...]]:
    """Return the lines about the users' requests; `during` is what happened while the stages were applied."""
    table: list[tuple[str, ...]] = []
    for key in ("p50", "p95", "p99"):
        table.append((f"answer {key}", *(seconds(side["latency"][key]) for side in (before, after))))
    table.append(("requests failed", str(before["failed"]), str(after["failed"])))
    table.append(("jobs finished", str(before["jobs"]["finished"]), str(after["jobs"]["finished"])))
    table.append(("jobs lost", str(before["jobs"]["lost"]), str(after["jobs"]["lost"])))
    table.append(("jobs lost while it was applied", "-", str(sum(side["jobs"]["lost"] for side in during))))
    for kind in sorted(before["provider_calls"].keys() | after["provider_calls"].keys()):
        table.append((f"calls: {kind}", *(str(side["provider_calls"].get(kind, 0)) for side in (before, after))))
    return table


def comparison(before: Seen, after: Seen, during: list[Seen]) -> str:
    """Return the table as text, columns aligned."""
    table = [("", "as found", "now"), *rows(before, after, during)]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    lines = [f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}" for row in table]
    return "\n".join(["", lines[0], "-" * len(lines[0]), *lines[1:], ""])
