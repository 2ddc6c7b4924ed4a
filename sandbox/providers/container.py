# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The container of the stand-in providers, on the network that the small hosts are on."""

from __future__ import annotations

import ipaddress
import json
import time
import urllib.error
import urllib.request
from typing import Any

from sandbox import engine, stack_images
from sandbox.process import SandboxError, step
from sandbox.providers import CONTROL_PORT
from sandbox.state import label

NAME = "headroom-providers"
START_SECONDS = 30.0


def address() -> str:
    """Return the stand-ins' IP address, which is also that of their name server: .53 of the sandbox's network."""
    return str(ipaddress.ip_network(engine.SUBNET)[53])


def control_url() -> str:
    return f"http://{address()}:{CONTROL_PORT}"


def up(seed: int = 1, latency_scale: float = 1.0) -> str:
    """Start the stand-ins afresh unless the same ones run already; return the address of their control.

    `latency_scale` multiplies every delay: 0 answers at once. Raises SandboxError when they do not answer.
    """
    engine.ensure()
    engine.ensure_network()
    if not engine.exists("image", stack_images.PROVIDERS):
        stack_images.build_bases()
    stack_images.build_providers()
    environment = {"PROVIDERS_SEED": str(seed), "PROVIDERS_LATENCY_SCALE": f"{latency_scale:g}"}
    if _runs_as(environment):
        return control_url()
    down()
    options = [word for pair in environment.items() for word in ("--env", "=".join(pair))]
    with step("start the stand-in providers"):
        engine.docker(
            "run", "--detach", "--name", NAME, "--hostname", NAME, "--label", label(),
            "--network", engine.NETWORK, "--ip", address(), "--memory", "512m", *options, stack_images.PROVIDERS,
        )  # fmt: skip
        _wait()
    return control_url()


def _runs_as(environment: dict[str, str]) -> bool:
    """Tell whether a container runs from today's image and with this environment."""
    if not engine.exists("container", NAME):
        return False
    found = json.loads(engine.docker("container", "inspect", NAME))[0]
    image = engine.docker("image", "inspect", "-f", "{{.Id}}", stack_images.PROVIDERS).strip()
    wanted = {"=".join(pair) for pair in environment.items()}
    return bool(found["State"]["Running"]) and found["Image"] == image and wanted <= set(found["Config"]["Env"])


def down() -> None:
    """Remove the stand-ins; nothing happens when there are none."""
    if engine.exists("container", NAME):
        engine.docker("rm", "--force", "--volumes", NAME)


def _wait() -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            call("GET", "/health")
            return
        except SandboxError as error:
            if time.monotonic() > deadline:
                log = engine.docker("logs", "--tail", "20", NAME)
                raise SandboxError(f"the stand-in providers do not answer: {error}\n{log}") from error
            time.sleep(0.2)


def call(method: str, path: str, body: Any = None) -> Any:
    """Call the control and return its JSON answer. Raises SandboxError when it is away or refuses."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(control_url() + path, data=data, method=method)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=40) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise SandboxError(f"{method} {path}: {error.read().decode(errors='replace')}") from error
    except OSError as error:
        raise SandboxError(f"cannot reach the stand-in providers at {control_url()}: {error}") from error
