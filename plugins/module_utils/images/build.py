# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Building a service's image with the operator's own tool, `docker compose build`, beside the project."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_SHOWN = 400
_TELLING = re.compile(
    r"error|returned a non-zero code|no space left|did not complete|could not|cannot|denied|timed out", re.IGNORECASE
)
_NOISE = re.compile(r"^(?:#\d+ )?(?:Step \d+/|CACHED|DONE|-+>?|={3,}|WARN|time=)|retrying \(retry", re.IGNORECASE)


@dataclass(frozen=True)
class Order:
    """What to build: the build section of `docker compose config`, under which name, from which Dockerfile."""

    project: str
    folder: str
    service: str
    section: Mapping[str, Any]
    secrets: Mapping[str, Any]
    image: str
    dockerfile: str
    labels: Mapping[str, str]
    network: str | None


def compose_text(order: Order) -> str:
    """A project of this one service, in JSON, which is YAML."""
    section = {**order.section, "dockerfile": order.dockerfile}
    section["labels"] = {**_mapping(order.section.get("labels")), **order.labels}
    if order.network and "network" not in section:
        section["network"] = order.network
    model: dict[str, Any] = {"name": order.project}
    model["services"] = {order.service: {"image": order.image, "build": section}}
    if section.get("secrets"):
        model["secrets"] = order.secrets
    return json.dumps(model)


def _mapping(labels: Any) -> dict[str, str]:
    if isinstance(labels, Mapping):
        return {str(key): str(value) for key, value in labels.items()}
    return dict(str(entry).partition("=")[::2] for entry in labels or [])


def needs_buildkit(text: str) -> bool:
    """Whether a Dockerfile asks for what only BuildKit has (docs.docker.com/build/buildkit)."""
    wants = r"(?im)^#\s*syntax=|^\s*(?:run|copy|add)\s[^\n]*--(?:mount|link|parents|exclude|checksum)\b"
    return bool(re.search(wants, text))


@dataclass(frozen=True)
class Failure:
    """Why a build failed, and the containers that the classic builder leaves behind then."""

    reason: str
    containers: tuple[str, ...] = ()


def run(order: Order, buildkit: bool, docker_host: str | None, seconds: int) -> Failure | None:
    """Build; returns None, or what went wrong. Nothing of the project is touched."""
    argv = ["docker", "compose", "-p", order.project, "--project-directory", order.folder, "-f", "-"]
    environment = {**os.environ, "DOCKER_BUILDKIT": "1" if buildkit else "0", "NO_COLOR": "1"}
    if docker_host:
        environment["DOCKER_HOST"] = docker_host
    text = compose_text(order)
    with _started([*argv, "build", order.service], environment) as process:
        try:
            output, _none = process.communicate(text.encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            output, _none = process.communicate()
            late = f"the build did not end within {seconds} s (build_timeout)"
            return Failure(late, containers(output.decode("utf-8", "replace")))
    shown = output.decode("utf-8", "replace")
    return None if process.returncode == 0 else Failure(reason(shown), containers(shown))


def containers(output: str) -> tuple[str, ...]:
    """The containers that the classic builder says it worked in."""
    return tuple(re.findall(r"---> Running in ([0-9a-f]{12})$", output, re.MULTILINE))


@contextlib.contextmanager
def _started(argv: list[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(environment),
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def reason(output: str) -> str:
    """The lines of a failed build's output that say why, shortened."""
    clean = re.sub(r"\x1b\[[0-9;]*m", "", output)
    lines = [line.strip() for line in clean.splitlines() if line.strip() and not _NOISE.search(line.strip())]
    telling = list(dict.fromkeys(line for line in lines if _TELLING.search(line)))[-3:]
    shown = "; ".join(telling or lines[-2:]) or "no message"
    return shown if len(shown) <= _SHOWN else "... " + shown[-_SHOWN:]
