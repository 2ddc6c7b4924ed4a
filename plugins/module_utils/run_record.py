# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of rollouts on a target: who is changing a project now, what became of each run, what it measured.

`/var/lib/headroom/<project>/runs.json` is a list of runs, oldest first. The last one is unfinished while somebody is
at work, and stays so when that somebody is killed; the next run then goes on from there, because every item of a stage
says itself what is still to be done.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import atomic_file

# A run tells of itself at the start of each phase, and for how long it will wait there for something. No phase takes
# this long besides, so a run that has been silent for longer is over, whatever became of its controller.
SILENCE_SECONDS = 30 * 60

# Enough for the report's history of a host; a run with its measurements takes a few KB.
RUNS_KEPT = 100

PHASES = ("measuring", "applying", "restarting", "guarding", "undoing")
OUTCOMES = ("passed", "inconclusive", "unchanged", "undone", "failed", "interrupted")

Run = dict[str, Any]


class RunError(Exception):
    """Another rollout is at work, or the record cannot be read. Nothing has been changed."""


@dataclass
class RunFile:
    """The record on disk. Whoever writes holds the lock of the project's journal."""

    path: str

    def read(self) -> list[Run]:
        """All runs, oldest first. Raises RunError where the file is damaged."""
        data = atomic_file.read(self.path)
        if data is None:
            return []
        try:
            runs = json.loads(data)["runs"]
            return [dict(run) for run in runs]
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"the record of runs {self.path} is damaged ({error}). Move it away to go on.") from error

    def write(self, runs: list[Run]) -> None:
        """Replace the record; the oldest runs beyond RUNS_KEPT go. Raises OSError."""
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        text = json.dumps({"runs": runs[-RUNS_KEPT:]}, indent=1, sort_keys=True)
        atomic_file.replace(self.path, text.encode("utf-8") + b"\n", mode=0o600)


def unfinished(runs: list[Run]) -> Run | None:
    """The run that has begun and not ended, or None."""
    return runs[-1] if runs and runs[-1]["outcome"] is None else None


def begin(runs: list[Run], run: Run, now: float, abandoned: list[str]) -> list[Run]:
    """The record with a new run in it. `now` is in seconds since the epoch.

    An unfinished run is closed as "interrupted" where its id is in `abandoned` (its controller process is gone) or
    where it has been silent for SILENCE_SECONDS longer than it said (`quiet_for`). Raises RunError where it is still at
    work.
    """
    other = unfinished(runs)
    if other and other["id"] != run["id"]:
        silent = now - other["touched"]
        if other["id"] not in abandoned and silent < SILENCE_SECONDS + other.get("quiet_for", 0):
            raise RunError(
                f"another rollout ({other['stage']}, from {other['controller']}) is {other['phase']} and told so "
                f"{silent:.0f} s ago. Nothing was changed. Wait for it to end; if it was killed, run again with "
                "-e rollout_take_over=true."
            )
        runs = [*runs[:-1], {**other, "outcome": "interrupted", "ended": now}]
    elif other:
        runs = runs[:-1]
    return [*runs, {**run, "started": now, "touched": now, "phase": "measuring", "outcome": None}]


def advance(runs: list[Run], run_id: str, now: float, news: Run) -> list[Run]:
    """The record with what the run of that id has to tell. Raises RunError where another run has taken its place."""
    current = unfinished(runs)
    if current is None or current["id"] != run_id:
        holder = current["controller"] if current else "nobody"
        raise RunError(
            f"this rollout no longer holds the project: {holder} does. It was taken over, so nothing more is changed."
        )
    updated = {**current, **{key: value for key, value in news.items() if value is not None}, "touched": now}
    if updated["outcome"] is not None:
        updated["ended"] = now
    return [*runs[:-1], updated]
