# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Talking to a running QEMU through its QMP socket."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Any

from sandbox.process import SandboxError

SOCKET = "qmp.sock"


def answer(line: bytes) -> dict[str, Any] | None:
    """Return the reply that a line of QMP carries, None for a greeting or an event.

    Raises SandboxError for an error reply.
    """
    message = json.loads(line)
    if "error" in message:
        raise SandboxError(f"QEMU refused: {message['error'].get('desc', message['error'])}")
    return message if "return" in message else None


class Monitor:
    """One connection to the QEMU whose socket lies in `folder`. Raises SandboxError when none listens there."""

    def __init__(self, folder: Path, timeout: float = 120.0) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        # Addressed through the open folder: the path of a Unix socket may have no more than 107 bytes.
        place = os.open(folder, os.O_PATH)
        try:
            self.socket.connect(f"/proc/self/fd/{place}/{SOCKET}")
        except OSError as error:
            self.socket.close()
            raise SandboxError(f"no virtual machine listens in {folder}: {error.strerror}") from error
        finally:
            os.close(place)
        self.lines = self.socket.makefile("rb")
        self.execute("qmp_capabilities")

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lines.close()
        self.socket.close()

    def execute(self, command: str, **arguments: object) -> Any:
        """Run a QMP command and return its result."""
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        for line in self.lines:
            reply = answer(line)
            if reply is not None:
                return reply["return"]
        raise SandboxError(f"QEMU closed its monitor during {command}")

    def human(self, line: str) -> None:
        """Run a command of the human monitor; snapshots have no QMP command that waits for them.

        What such a command prints is its error. Raises SandboxError for it.
        """
        output = self.execute("human-monitor-command", **{"command-line": line})
        if output.strip():
            raise SandboxError(f"QEMU's {line} failed: {output.strip()}")
