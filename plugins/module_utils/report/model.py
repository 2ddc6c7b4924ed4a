# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the report of one host says, as plain data: the JSON file, and what the two templates are filled with.

Memory is in bytes, response times in milliseconds, times are ISO 8601 in UTC. The same data give the same report.
"""

from __future__ import annotations

import datetime
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

Data = Mapping[str, Any]

# The plan's words for its items; an undo key starts with the item that it belongs to.
ITEMS = {
    "stage1.item01": "API worker processes",
    "stage1.item02": "Memory limit and reservation of every service",
    "stage1.item03": "Redis maxmemory and eviction policy",
    "stage2.item04": "Smaller images",
    "stage2.item05": "Kernel memory settings, swap, process limits, log caps",
    "stage2.item06": "Worker: concurrent jobs, recycling, job retention",
    "stage3.item07": "Cache of calls to language models and translators",
    "stage3.item08": "Cache of often used images",
    "stage3.item09": "Cache Redis apart from the queue Redis",
    "stage4.item10": "Image processing with a bounded peak",
    "stage4.item11": "Memory of the bot, API and worker processes",
    "stage4.item12": "Pooling, timeouts and limits of external calls",
}

STAGES = {"1": "Quick wins", "2": "Configuration", "3": "Caching", "4": "Code"}

OUTCOMES = {
    "passed": "The stack was watched afterwards and stayed well.",
    "inconclusive": "There was too little traffic to tell whether it did any harm.",
    "unchanged": "Nothing had to be changed.",
    "undone": "It did harm and was taken back by itself.",
    "failed": "It was not finished.",
    "interrupted": "It was cut off; a later run went on from there.",
}

SEVERITIES = ("high", "medium", "low", "info")

# Credentials that a message may have picked up from an address or a command line.
_SECRETS = (
    (re.compile(r"(://)[^/\s@:]*(:[^/\s@]*)?@"), r"\1***@"),
    (re.compile(r"(?i)\b([\w-]*(?:token|secret|password|passwd|api[_-]?key))(\s*[=:]\s*)[^\s&,;'\"]+"), r"\1\2***"),
    (re.compile(r"(?i)(--(?:pass|requirepass|password)\s+|\brequirepass\s+)\S+"), r"\1***"),
    (re.compile(r"(?<!\d)\d{6,}:[\w-]{30,}"), "***"),
    (re.compile(r"\b(sk|pk|key)-[\w-]{16,}"), r"\1-***"),
)


def redacted(value: Any) -> Any:
    """The same data with everything that looks like a credential replaced by three stars."""
    if isinstance(value, str):
        for pattern, replacement in _SECRETS:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, Mapping):
        return {str(key): redacted(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(each) for each in value]
    return value


def iso(seconds: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC, to the second; None stays None."""
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def share(part: float | None, whole: float | None) -> float | None:
    """Percent, to a tenth; None where it cannot be told."""
    return round(100 * part / whole, 1) if part is not None and whole else None


def change(before: float | None, after: float | None) -> float | None:
    """By how many percent a figure went up (or, negative, down)."""
    return share(after - before, before) if before is not None and after is not None else None


def stage_number(name: str) -> str | None:
    """The number in a stage's or an undo key's name, as "1" in `stage1_quick_wins`."""
    match = re.match(r"stage(\d+)", name)
    return match[1] if match else None


def stage_title(name: str) -> str:
    """The plan's name of a stage."""
    number = stage_number(name)
    return f"Stage {number}: {STAGES[number]}" if number in STAGES else name


def undo_command(host: str, number: str | None) -> str | None:
    """What takes a stage, and those after it, back on this host."""
    if number is None:
        return None
    return f"ansible-playbook -i INVENTORY --limit {shlex.quote(host)} smallhost.headroom.rollback -e stage={number}"


# The parts of the report


def _figures(run: Data) -> list[dict[str, Any]]:
    """The rows of a run's table: what was measured before and after. Rows without any figure are left out."""
    before, after = run.get("before") or {}, run.get("after") or {}
    latency = run.get("latency") or {}

    def row(label: str, unit: str, was: Any, now: Any) -> dict[str, Any]:
        return {"label": label, "unit": unit, "before": was, "after": now, "change_percent": change(was, now)}

    def measured(label: str, unit: str, part: str, key: str) -> dict[str, Any]:
        return row(label, unit, (before.get(part) or {}).get(key), (after.get(part) or {}).get(key))

    def unlimited(side: Data) -> int | None:
        names = (side.get("totals") or {}).get("unlimited")
        return None if names is None else len(names)

    def answered(key: str) -> tuple[Any, Any]:
        return tuple((latency.get(side) or {}).get(key) for side in ("before", "after"))  # type: ignore[return-value]

    rows = [
        measured("Host memory in use", "bytes", "host", "memory_used"),
        measured("Host memory available", "bytes", "host", "memory_available"),
        measured("Working set of all containers", "bytes", "totals", "working_set"),
        measured("Sum of memory limits", "bytes", "totals", "limits"),
        row("Containers without a limit", "count", unlimited(before), unlimited(after)),
        row("Response time, median", "ms", *answered("p50_ms")),
        row("Response time, 95th percentile", "ms", *answered("p95_ms")),
    ]
    return [entry for entry in rows if entry["before"] is not None or entry["after"] is not None]


def meaning(run: Data) -> str:
    """What a run's outcome says, in a sentence."""
    outcome = run["outcome"]
    if outcome == "passed" and not ((run.get("latency") or {}).get("after")):
        done = "taken back" if run.get("action") == "absent" else "applied"
        return f"It was {done}. Nobody watched the stack afterwards."
    return OUTCOMES.get(outcome, "")


def stages(runs: Sequence[Data], host: str) -> list[dict[str, Any]]:
    """Every finished run, oldest first, with what was measured before and after it."""
    found = []
    for run in runs:
        if run.get("outcome") is None:
            continue
        name, applied = str(run["stage"]), run.get("action") != "absent"
        ended = run.get("ended")
        found.append(
            {
                "id": run["id"],
                "stage": name,
                "title": stage_title(name) if applied else f"{stage_title(name)}, taken back",
                "applied": applied,
                "outcome": run["outcome"],
                "meaning": meaning(run),
                "started": iso(run["started"]),
                "ended": iso(ended),
                "seconds": None if ended is None else round(ended - run["started"]),
                "restarted": list(run.get("restarted") or []),
                "reasons": list(run.get("reasons") or []),
                "figures": _figures(run),
                "undo": undo_command(host, stage_number(name)) if applied and run["outcome"] != "undone" else None,
            }
        )
    return found


def containers(usage: Data) -> list[dict[str, Any]]:
    """The containers as they are now, the largest first."""
    rows = []
    for entry in usage["containers"]:
        parts = [entry.get(key) or 0 for key in ("anon", "shared", "kernel")]
        used = max(entry.get("working_set") or 0, sum(parts)) if entry.get("running") else None
        limit = entry.get("limit")
        rows.append(
            {
                "name": entry["name"],
                "service": entry["service"],
                "running": bool(entry.get("running")),
                "health": entry.get("health"),
                "in_use": used,
                "limit": limit,
                "reservation": entry.get("reservation"),
                "percent_of_limit": share(used, limit),
                "left": limit - used if limit and used is not None else None,
                "oom_kills": entry.get("oom_kills"),
                "restarts": entry.get("restarts"),
            }
        )
    return sorted(rows, key=lambda row: (-(row["in_use"] or 0), row["name"]))


def headroom(usage: Data) -> dict[str, Any]:
    """The host's memory, swap and disk: what there is, what is used, what is left."""
    host = usage["host"]
    disk = host.get("disk") or {}
    return {
        "memory_total": host["memory_total"],
        "memory_used": host["memory_used"],
        "memory_left": host["memory_available"],
        "memory_left_percent": share(host["memory_available"], host["memory_total"]),
        "containers": usage["totals"]["working_set"],
        "limits": usage["totals"]["limits"],
        "swap_total": host.get("swap_total"),
        "swap_used": host.get("swap_used"),
        "disk_total": disk.get("total"),
        "disk_left": disk.get("free"),
        "disk_left_percent": share(disk.get("free"), disk.get("total")),
        "disk_days_left": (usage.get("history") or {}).get("days_until_full"),
        "oom_kills": host.get("oom_kills"),
    }


def saved_since_first(runs: Sequence[Data], usage: Data) -> dict[str, Any] | None:
    """The containers' working set before the first rollout on record, against now."""
    for run in runs:
        first = ((run.get("before") or {}).get("totals") or {}).get("working_set")
        if first and run.get("action") != "absent":
            now = usage["totals"]["working_set"]
            return {"before": first, "after": now, "change_percent": change(first, now), "since": iso(run["started"])}
    return None


def curves(recorded: Data) -> list[dict[str, Any]]:
    """Each service's memory over time, beside the figures of the same time."""
    known = {entry["service"]: entry for entry in recorded.get("spreads") or []}
    found = []
    for curve in recorded.get("curves") or []:
        if curve["points"]:
            first, last = curve["points"][0][0], curve["points"][-1][0] + curve["step"]
            spread = {key: value for key, value in known.get(curve["service"], {}).items() if key != "service"}
            found.append({**curve, "from": iso(first), "to": iso(last), "limit": curve["points"][-1][2], **spread})
    return found


def settings(names: Sequence[str]) -> list[str]:
    """The changed settings in words, from their names in the journal: `api: mem_limit, memswap_limit`, `vm.swappiness`.

    What the journal notes for itself is left out.
    """
    services: dict[str, set[str]] = {}
    others = set()
    for name in names:
        kind, _unused, rest = name.partition(" ")
        if kind == "file":
            place = [str(part) for part in json.loads(rest)[1]]
            service, rest_of_it = (place[1], place[2:]) if place[0] == "services" else ("project", place)
            services.setdefault(service, set()).add(".".join(rest_of_it) or "all of it")
        elif kind == "live":
            services.setdefault(rest, set()).add("running limits")
        elif kind == "redis" and not rest.startswith("rewrite "):
            service, _unused, setting = rest.rpartition(" ")
            services.setdefault(service, set()).add(setting)
        elif name.startswith("live:"):
            others.add(name.partition(":")[2])
        elif kind not in ("made", "fitted", "redis") and not name.startswith("folder:"):
            others.add(name)
    return [f"{service}: {', '.join(sorted(found))}" for service, found in sorted(services.items())] + sorted(others)


def changed(recorded: Data, host: str) -> list[dict[str, Any]]:
    """What is changed now, one entry for each item of the plan, with the command that takes it back."""
    return [
        {
            "key": entry["owner"],
            "title": next((text for key, text in ITEMS.items() if entry["owner"].startswith(key)), entry["owner"]),
            "stage": stage_number(entry["owner"]) or "",
            "files": entry["files"],
            "settings": settings(entry["values"]),
            "undo": undo_command(host, stage_number(entry["owner"])),
        }
        for entry in recorded.get("changes") or []
    ]


def capacity(usage: Data) -> dict[str, Any] | None:
    """How many active users fit, and what each more costs; None where nobody asked for it.

    `known` is false where no number of users was recorded, `users` is None where memory does not grow with them.
    """
    if "outlook" not in usage:
        return None
    outlook = usage["outlook"] or {}
    projections = [one["projection"] for one in usage.get("recommendations") or [] if one.get("projection")]
    return {
        "known": bool(projections),
        "users": outlook.get("users_carried"),
        "most_users_seen": max((one["most_users_seen"] for one in projections), default=None),
        "per_user": sum(one["per_user"] for one in projections),
        "projected": outlook.get("projected"),
        "projected_fits": outlook.get("projected_fits"),
        "low_confidence": bool(outlook.get("low_confidence")),
    }


def findings(listed: Sequence[Data] | None) -> list[dict[str, Any]] | None:
    """What the audit still has to say, the worst first; None where it was not asked.

    What is the same of several services is said once, with all of their names and figures.
    """
    if listed is None:
        return None
    rank = {severity: place for place, severity in enumerate(SEVERITIES)}
    ordered = sorted(listed, key=lambda entry: rank.get(str(entry.get("severity")), len(rank)))
    said: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in ordered:
        same = tuple(entry.get(key) for key in ("id", "severity", "why", "remedy"))
        first = said.setdefault(same, {**entry, "subject": [], "figure": []})
        first["title"] = str(entry["id"]).replace("_", " ").capitalize()
        first["subject"].append(entry["subject"])
        first["figure"].append(entry["figure"])
    return list(said.values())


def calls(cache: Data | None) -> dict[str, Any] | None:
    """Calls to paid providers: `asked` by the application, and `saved` because the cache had the answer."""
    if not cache or not cache.get("asked"):
        return None
    return {"asked": cache["asked"], "saved": cache["saved"], "saved_percent": share(cache["saved"], cache["asked"])}


def build(data: Data) -> dict[str, Any]:
    """The report of one host.

    `data` holds `host` (its name in the inventory), `users` (planned for), `usage` (of compose_usage_info), `runs` (of
    rollout_record), `recorded` (of recorded_info), and where they are known `findings` and `cache`. Raises KeyError
    where one of the former is missing.
    """
    data = redacted(data)
    host, usage, runs, recorded = data["host"], data["usage"], data["runs"], data["recorded"]
    return {
        "version": 1,
        "host": host,
        "project": usage["project"],
        "measured_at": iso(data.get("measured_at") or recorded["time"]),
        "planned_users": data["users"],
        "headroom": headroom(usage),
        "saved": saved_since_first(runs, usage),
        "capacity": capacity(usage),
        "containers": containers(usage),
        "stages": stages(runs, host),
        "curves": curves(recorded),
        "history_missing": recorded.get("history_missing"),
        "answers": recorded.get("answers") or [],
        "calls": calls(data.get("cache")),
        "changes": changed(recorded, host),
        "findings": findings(usage.get("findings") if data.get("findings") is None else data["findings"]),
    }
