# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running programs, with progress lines that tell the seconds each step took."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence


class SandboxError(Exception):
    """Something the sandbox needs did not work; the text says what happened and what to do."""


def say(text: str) -> None:
    """Print one progress line on stderr: stdout is for what a command was asked to print."""
    print(f"[sandbox] {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Tell that a step begins, and how many seconds it took, also when it fails."""
    say(f"{title} ...")
    begin = time.monotonic()
    outcome = "failed"
    try:
        yield
        outcome = "done"
    finally:
        say(f"{title}: {outcome} in {time.monotonic() - begin:.1f} s")


def as_root(argv: Sequence[str]) -> list[str]:
    """Return argv as root runs it: itself for root, behind sudo for anybody else."""
    return list(argv) if os.geteuid() == 0 else ["sudo", *argv]


def run(
    argv: Sequence[str],
    *,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> str:
    """Run a program and return its stdout.

    `env` is added to the environment, `timeout` is in seconds.
    Raises SandboxError with the end of the program's output when it cannot be started, fails or takes longer.
    """
    try:
        result = subprocess.run(
            list(argv),
            input=b"" if stdin is None else stdin,
            capture_output=True,
            env={**os.environ, **(env or {})},
            timeout=timeout,
            check=False,
        )
    except OSError as error:
        raise SandboxError(f"cannot run {argv[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise SandboxError(f"{shlex.join(argv)} was not finished after {timeout:.0f} seconds") from error
    if result.returncode != 0:
        output = (result.stderr.strip() or result.stdout.strip()).decode(errors="replace")
        raise SandboxError(f"{shlex.join(argv)} failed with code {result.returncode}:\n{output[-2000:]}")
    return result.stdout.decode(errors="replace")


def succeeds(argv: Sequence[str], timeout: float = 30.0) -> bool:
    """Tell whether a program ends with code 0 within `timeout` seconds."""
    try:
        run(argv, timeout=timeout)
    except SandboxError:
        return False
    return True
