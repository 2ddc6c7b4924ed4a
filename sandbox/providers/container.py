# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The containers of the stand-in providers, on the network that the small hosts are on."""

from __future__ import annotations

import ipaddress
import json
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Collection
from typing import Any

from sandbox import engine, stack_images
from sandbox.process import SandboxError, step
from sandbox.providers import CONTROL_PORT
from sandbox.state import label

PREFIX = "headroom-providers-"
START_SECONDS = 30.0
FIRST_ADDRESS, ADDRESSES = 128, 120
"""Which part of the sandbox's network is theirs: the engine gives addresses to hosts from the low end."""


def container_name(host: str) -> str:
    """Return the name of a host's stand-ins: hosts side by side share no counters."""
    return PREFIX + host


def address(host: str) -> str:
    """Return the IP address of a host's stand-ins, which is also that of their name server.

    Raises SandboxError when they are not there.
    """
    found = _address(host)
    if not found:
        raise SandboxError(f"there are no stand-in providers of the host {host}; start them: "
                           f"python3 -m sandbox.providers up --name {host}")  # fmt: skip
    return found


def control_url(host: str) -> str:
    return f"http://{address(host)}:{CONTROL_PORT}"


def _address(host: str) -> str:
    if not engine.exists("container", container_name(host)):
        return ""
    found = json.loads(engine.docker("container", "inspect", container_name(host)))[0]
    return str(found["NetworkSettings"]["Networks"][engine.NETWORK]["IPAMConfig"]["IPv4Address"])


def choose_address(host: str, used: Collection[str], subnet: str) -> str:
    """Return a free address for a host's stand-ins; as a rule the same one each time, so that a restart keeps it.

    Raises SandboxError when none is free.
    """
    network = ipaddress.ip_network(subnet)
    first = zlib.crc32(host.encode()) % ADDRESSES
    for number in range(ADDRESSES):
        candidate = str(network[FIRST_ADDRESS + (first + number) % ADDRESSES])
        if candidate not in used:
            return candidate
    raise SandboxError(f"all {ADDRESSES} addresses for stand-in providers are taken; remove hosts you do not need")


def _used_addresses() -> set[str]:
    network = json.loads(engine.docker("network", "inspect", engine.NETWORK))[0]
    return {entry["IPv4Address"].partition("/")[0] for entry in network["Containers"].values()}


def up(host: str, seed: int = 1, latency_scale: float = 1.0) -> str:
    """Start a host's stand-ins afresh unless the same ones run already; return the address of their control.

    `latency_scale` multiplies every delay: 0 answers at once. Raises SandboxError when they do not answer.
    """
    engine.ensure()
    engine.ensure_network()
    if not engine.exists("image", stack_images.PROVIDERS):
        stack_images.build_all()
    environment = {"PROVIDERS_SEED": str(seed), "PROVIDERS_LATENCY_SCALE": f"{latency_scale:g}"}
    if _runs_as(host, environment):
        return control_url(host)
    place = _address(host) or choose_address(host, _used_addresses(), engine.SUBNET)
    down(host)
    options = [word for pair in environment.items() for word in ("--env", "=".join(pair))]
    with step(f"start the stand-in providers of {host}"):
        engine.docker(
            "run", "--detach", "--name", container_name(host), "--hostname", "providers", "--label", label(),
            "--network", engine.NETWORK, "--ip", place, "--memory", "512m", *options, stack_images.PROVIDERS,
        )  # fmt: skip
        _wait(host)
    return control_url(host)


def _runs_as(host: str, environment: dict[str, str]) -> bool:
    """Tell whether a container runs from today's image and with this environment."""
    if not engine.exists("container", container_name(host)):
        return False
    found = json.loads(engine.docker("container", "inspect", container_name(host)))[0]
    image = engine.docker("image", "inspect", "-f", "{{.Id}}", stack_images.PROVIDERS).strip()
    wanted = {"=".join(pair) for pair in environment.items()}
    return bool(found["State"]["Running"]) and found["Image"] == image and wanted <= set(found["Config"]["Env"])


def down(host: str) -> None:
    """Remove a host's stand-ins; nothing happens when there are none."""
    if engine.exists("container", container_name(host)):
        engine.docker("rm", "--force", "--volumes", container_name(host))


def _wait(host: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            call(host, "GET", "/health")
            return
        except SandboxError as error:
            if time.monotonic() > deadline:
                log = engine.docker("logs", "--tail", "20", container_name(host))
                raise SandboxError(f"the stand-in providers do not answer: {error}\n{log}") from error
            time.sleep(0.2)


def call(host: str, method: str, path: str, body: Any = None) -> Any:
    """Call the control and return its JSON answer. Raises SandboxError when it is away or refuses."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(control_url(host) + path, data=data, method=method)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=40) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise SandboxError(f"{method} {path}: {error.read().decode(errors='replace')}") from error
    except OSError as error:
        raise SandboxError(f"cannot reach the stand-in providers at {control_url(host)}: {error}") from error
