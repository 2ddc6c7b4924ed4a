# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python -m headroom_gateway: serve; `health` for the container's health check; `purge <provider>`."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence

from headroom_gateway import settings as environment
from headroom_gateway.settings import Settings, SettingsError

ASK_SECONDS = 5.0


USAGE = "usage: python -m headroom_gateway [serve | health | purge <provider>]\n"


def main(argv: Sequence[str]) -> int:
    """Run a command; return the code to end with."""
    command, *arguments = argv or ("serve",)
    if len(arguments) != {"serve": 0, "health": 0, "purge": 1}.get(command, -1):
        sys.stderr.write(USAGE)
        return 2
    try:
        settings = environment.read(os.environ)
        if command == "health":
            return 0 if _ask(settings, "GET", "/-/health")[0] == 200 else 1
        if command == "purge":
            status, text = _ask(settings, "POST", f"/-/purge/{arguments[0]}")
            sys.stdout.write(text + "\n")
            return 0 if status == 200 else 1
    except SettingsError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: no gateway answers here: {error}\n")
        return 1
    return _serve(settings)


def _serve(settings: Settings) -> int:
    import asyncio
    import logging

    from headroom_gateway import serve
    from headroom_gateway.policy import load
    from headroom_gateway.tables import PolicyError

    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s")
    try:
        policy = load(settings.policy)
    except PolicyError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    asyncio.run(serve.run(settings, policy))
    return 0


def _ask(settings: Settings, method: str, path: str) -> tuple[int, str]:
    """Ask the gateway that runs here; return status and body. Raises OSError, ValueError.

    Written by hand: the health check runs every few seconds inside the container's limit, and http.client alone takes
    as much memory as everything else in this program.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    with socket.create_connection((host, settings.port), ASK_SECONDS) as connection:
        connection.sendall(f"{method} {path} HTTP/1.0\r\n\r\n".encode())
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    head, _unused, body = b"".join(parts).partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body.decode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
