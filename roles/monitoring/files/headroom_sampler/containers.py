# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which containers there are, to which Compose service each belongs, how it is: from the engine's own files.

The engine writes `<root>/containers/<id>/config.v2.json` at each start, stop and health check (moby
`container.CheckpointTo`), so a file is read again only when it was written anew. Nothing is asked over the engine's
socket. The file also holds the container's environment: only the fields named here are ever kept.
"""

from __future__ import annotations

import posix

from headroom_sampler.files import content
from headroom_sampler.plain_json import loads

# Worse is greater, so that the worst of an interval is its maximum.
HEALTH = {"healthy": 1, "starting": 2, "unhealthy": 3}


class Container:
    """One container as the engine describes it. `health` is 0 where the container has no health check."""

    __slots__ = ("addresses", "health", "id", "name", "oom_killed", "pid", "project", "restarts", "service")

    def __init__(self, identity: str, described: dict) -> None:
        state = described.get("State") or {}
        labels = (described.get("Config") or {}).get("Labels") or {}
        networks = (described.get("NetworkSettings") or {}).get("Networks") or {}
        self.id = identity
        self.name = (described.get("Name") or identity[:12]).lstrip("/")
        self.project = labels.get("com.docker.compose.project", "")
        self.service = labels.get("com.docker.compose.service", "")
        self.pid = state.get("Pid") or 0 if state.get("Running") else 0
        self.oom_killed = bool(state.get("OOMKilled"))
        self.health = HEALTH.get((state.get("Health") or {}).get("Status", ""), 0)
        self.restarts = described.get("RestartCount") or 0
        self.addresses = [net["IPAddress"] for net in networks.values() if net and net.get("IPAddress")]


class Containers:
    """The containers of one engine; `refresh` reads what has changed since the last time."""

    def __init__(self, root: str) -> None:
        self._folder = root + "/containers"
        self._read: dict[str, tuple[int, Container]] = {}

    def refresh(self) -> list[Container]:
        """All containers that the engine knows, running or not. Empty where the folder cannot be read."""
        try:
            names = [name for name in posix.listdir(self._folder) if len(name) == 64]
        except OSError:
            names = []
        fresh = {}
        for name in names:
            path = f"{self._folder}/{name}/config.v2.json"
            try:
                written = posix.stat(path).st_mtime_ns
            except OSError:
                continue
            known = self._read.get(name)
            if known and known[0] == written:
                fresh[name] = known
            else:
                described = self._describe(path)
                if described is not None:
                    fresh[name] = (written, Container(name, described))
                elif known:
                    fresh[name] = known  # Caught half written: what was known is right until the next look.
        self._read = fresh
        return [container for _unused, container in fresh.values()]

    @staticmethod
    def _describe(path: str) -> dict | None:
        try:
            described = loads(content(path).decode("utf-8", "replace"))
        except ValueError:
            return None
        return described if isinstance(described, dict) else None
