# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A daemon of this host as a process and as a unit of systemd: who it is, and how to have it read its files again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from ansible_collections.smallhost.headroom.plugins.module_utils import atomic_file


class DaemonError(Exception):
    """A daemon cannot be found, or does not do what it was told."""


def read_pid(pidfile: str, name: str, proc: str = "/proc") -> int | None:
    """The running process that a pidfile names, None where it is not running (or is not `name` any more)."""
    text = (atomic_file.read(pidfile) or b"").strip()
    if not text.isdigit():
        return None
    comm = atomic_file.read(os.path.join(proc, text.decode(), "comm"))
    return int(text) if comm is not None and comm.strip() == name.encode() else None


def argv(pid: int, proc: str = "/proc") -> list[str]:
    """The command line of a process; empty where it is gone."""
    data = atomic_file.read(os.path.join(proc, str(pid), "cmdline")) or b""
    return [word.decode("utf-8", "surrogateescape") for word in data.split(b"\0") if word]


def identity(pid: int, proc: str = "/proc") -> str:
    """What tells one start of a process from the next, across reboots too: boot, pid and start time in ticks."""
    boot = (atomic_file.read(os.path.join(proc, "sys/kernel/random/boot_id")) or b"").strip().decode()
    stat = atomic_file.read(os.path.join(proc, str(pid), "stat")) or b""
    # The name in brackets may hold blanks; the start time is field 22 (proc(5)).
    fields = stat.rpartition(b")")[2].split()
    return f"{boot} {pid} {fields[19].decode() if len(fields) > 19 else '?'}"


def run(words: Sequence[str], seconds: float = 60.0) -> str:
    """A program's output. Raises DaemonError where it is missing, fails or does not end."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DaemonError(f"{words[0]}: {error}") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "it says nothing").splitlines()
        raise DaemonError(f"{' '.join(words)} ended with code {done.returncode}: {' '.join(said[-3:])}")
    return done.stdout


def systemctl(*words: str, seconds: float = 120.0) -> str:
    """`systemctl WORDS`. Raises DaemonError."""
    return run(["systemctl", *words], seconds)


def show(*properties: str, unit: str | None = None) -> dict[str, str]:
    """Properties of a unit, or of systemd itself. Raises DaemonError."""
    words = ["show", *([unit] if unit else []), *(f"--property={name}" for name in properties)]
    pairs = (line.partition("=") for line in systemctl(*words).splitlines())
    return {name: value for name, _equals, value in pairs}


def unit_of(pid: int, names: Sequence[str]) -> str | None:
    """Which of these units of systemd has the process as its main one; None where none has, or there is no systemd."""
    if not os.path.isdir("/run/systemd/system"):
        return None
    for name in names:
        if show("MainPID", unit=name).get("MainPID") == str(pid):
            return name
    return None
