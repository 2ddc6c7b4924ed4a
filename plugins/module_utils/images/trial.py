# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a new image does what the old one does: both are tried in the same way, and the new one must not do worse.

A trial container has no network but its own loopback, no volume of the service, and what the service mounts from the
host only for reading: a second bot or worker must not take messages or jobs from the one that runs. Where the service
cannot work like that (no Redis, no database), the old image shows how it ends then.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import EngineError
from ansible_collections.smallhost.headroom.plugins.module_utils.images import probe
from ansible_collections.smallhost.headroom.plugins.module_utils.images.store import ImageStore

# An image that Compose has built hands its labels on: a trial must not pass for a container of the project.
LABELS = {
    "smallhost.headroom.trial": "true",
    "com.docker.compose.project": "",
    "com.docker.compose.service": "",
    "com.docker.compose.oneoff": "True",
}
_POLL_SECONDS = 1.0
_NANO = 1_000_000_000
_PROBE_SECONDS = 240
_LAST_TO_LIVE = 1000  # oom_score_adj: the kernel shall take a trial before anything else
_LOW_SHARE = 128  # CPU shares, of 1024 that a container has by default
# What a program says when a part of its image is missing.
_MISSING = re.compile(
    r"(ModuleNotFoundError|ImportError|cannot open shared object file|executable file not found|command not found"
    r"|: not found$|No such file or directory)"
)


@dataclass(frozen=True)
class Outcome:
    """How a trial container ended. `code` is None while it runs; `health` None without a check."""

    running: bool
    code: int | None
    health: str | None
    complaints: tuple[str, ...]
    last_line: str = ""


def worse(old: Outcome, new: Outcome) -> str | None:
    """In which way the new image does worse than the old one, in words, or None."""
    fresh = [line for line in new.complaints if line not in old.complaints]
    if fresh:
        return f"with the new image it says {fresh[0][:200]!r}, which it does not with the old one"
    if old.running and not new.running:
        return f"with the new image it ended at once (exit code {new.code}): {new.last_line[:200]}"
    if not old.running and not new.running and old.code != new.code:
        return f"with the new image it ended with exit code {new.code}, not {old.code}: {new.last_line[:200]}"
    if old.health == "healthy" and new.health != "healthy":
        return f"its health check succeeds with the old image and not with the new one ({new.health})"
    return None


def lacking(old: Mapping[str, Any], new: Mapping[str, Any], unwanted: Sequence[str]) -> str | None:
    """What the new image lacks of the old one, by the findings of `probe` in both; None: nothing."""
    broken = {name: why for name, why in new["imports"].items() if why and not old["imports"].get(name)}
    if broken:
        name, why = next(iter(sorted(broken.items())))
        return f"import {name} fails in the new image: {why[:200]}"
    unresolved = sorted(set(new["unresolved"]) - set(old["unresolved"]))
    if unresolved:
        return f"shared libraries are missing in the new image: {', '.join(unresolved[:3])}"
    gone = sorted(set(old["packages"]) - set(new["packages"]) - {"pip"})
    if gone and not unwanted:
        return f"Python packages are missing in the new image: {', '.join(gone[:5])}"
    programs = sorted(name for name, there in old["programs"].items() if there and not new["programs"].get(name))
    return f"programs are missing in the new image: {', '.join(programs)}" if programs else None


def other_versions(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Python packages whose version differs: the requirements do not pin them, and time has passed."""
    pairs = ((name, version, new["packages"].get(name)) for name, version in sorted(old["packages"].items()))
    return [f"{name} {was} -> {now}" for name, was, now in pairs if now and now != was and name != "pip"]


def body(image: str, container: Mapping[str, Any] | None, memory: int) -> dict[str, Any]:
    """What to create a trial container from: the service's own container with another image and cut off."""
    host: dict[str, Any] = {
        "NetworkMode": "none",
        "CpuShares": _LOW_SHARE,
        "OomScoreAdj": _LAST_TO_LIVE,
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}},
    }
    if memory:
        host.update(Memory=memory, MemorySwap=memory)
    made: dict[str, Any] = {"Image": image, "HostConfig": host, "Labels": LABELS}
    if container is None:
        return made
    config = container["Config"]
    made.update({key: config.get(key) for key in ("Cmd", "Entrypoint", "Env", "User", "WorkingDir", "Tty")})
    check = config.get("Healthcheck")
    if check and check.get("Test"):
        made["Healthcheck"] = {**check, "Interval": 2 * _NANO, "Retries": 1000}
    host["Tmpfs"] = (container["HostConfig"].get("Tmpfs") or {}).copy()
    host["Binds"] = [
        f"{mount['Source']}:{mount['Destination']}:ro"
        for mount in container.get("Mounts") or []
        if mount.get("Type") == "bind" and not str(mount["Source"]).endswith(".sock")
    ]
    return made


def observed(state: Mapping[str, Any], log: str) -> Outcome:
    """The outcome from a container's state and log."""
    lines = [_plain(line) for line in log.splitlines() if line.strip()]
    complaints = tuple(dict.fromkeys(line for line in lines if _MISSING.search(line)))
    running = bool(state.get("Running"))
    health = (state.get("Health") or {}).get("Status")
    return Outcome(running, None if running else state.get("ExitCode"), health, complaints, lines[-1] if lines else "")


def _plain(line: str) -> str:
    """A log line without its time and process numbers, which differ in every run."""
    return re.sub(r"\d{2,}", "N", re.sub(r"\x1b\[[0-9;]*m", "", line)).strip()


def start_both(
    store: ImageStore, images: Sequence[str], container: Mapping[str, Any] | None, memory: int, seconds: int
) -> list[Outcome]:
    """Start several images side by side for so many seconds, or until all have ended. Raises EngineError."""
    with contextlib.ExitStack() as stack:
        made = []
        for image in images:
            made.append(store.create(body(image, container, memory)))
            stack.callback(store.discard, made[-1])
        failed: dict[str, str] = {}
        for entry in made:
            try:
                store.start(entry)
            except EngineError as error:
                failed[entry] = str(error)
        end = time.monotonic() + seconds
        while time.monotonic() < end and any(store.state(entry).get("Running") for entry in made):
            time.sleep(_POLL_SECONDS)
        return [observed(store.state(entry), store.logs(entry) + failed.get(entry, "")) for entry in made]


def look_inside(store: ImageStore, image: str, programs: Sequence[str]) -> dict[str, Any] | None:
    """The findings of `probe` in an image, or None where it has no Python that could run it."""
    host = {"NetworkMode": "none", "CpuShares": _LOW_SHARE, "OomScoreAdj": _LAST_TO_LIVE}
    made = {
        "Image": image, "HostConfig": host, "Labels": LABELS, "Entrypoint": ["python3"],
        "Cmd": ["-c", inspect.getsource(probe), *programs], "Healthcheck": {"Test": ["NONE"]},
    }  # fmt: skip
    container = store.create(made)
    try:
        try:
            store.start(container)
        except EngineError:
            return None
        end = time.monotonic() + _PROBE_SECONDS
        while store.state(container).get("Running") and time.monotonic() < end:
            time.sleep(_POLL_SECONDS / 2)
        found = re.findall(r"^headroom-probe: (\{.*\})$", store.logs(container), re.MULTILINE)
        return dict(json.loads(found[-1])) if found else None
    finally:
        store.discard(container)
