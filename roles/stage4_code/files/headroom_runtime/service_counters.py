# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counters that the processes of a service keep together, in files that the monitoring reads."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time

from headroom_runtime.activation import say

EVERY = 1.0
"""Seconds between two writes: what a killed process can lose."""
NAMES = ("requests", "errors", "request_seconds")
RECORD = 12
"""A user's record: eight bytes of a keyed hash, four of the time last seen (seconds since the epoch)."""
MOST_USERS = 100_000
KEY = ".key"


def read_counters(text: str) -> dict[str, float]:
    """Lines `name number`; what is missing or no number is 0."""
    found = dict.fromkeys(NAMES, 0.0)
    for line in text.splitlines():
        name, _unused, value = line.partition(" ")
        try:
            if name in found:
                found[name] = float(value)
        except ValueError:
            continue
    return found


def write_counters(numbers: dict[str, float]) -> str:
    """The lines, always of one length, so that whoever reads while they are written sees no half of a line."""
    return "".join(f"{name} {numbers[name]:020.3f}\n" for name in NAMES)


def merge_users(records: bytes, seen: dict[bytes, int], forget_before: int) -> bytes:
    """The records with those seen now, without those last seen before; the newest MOST_USERS."""
    known = {
        records[at : at + 8]: int.from_bytes(records[at + 8 : at + RECORD], "big")
        for at in range(0, len(records) - len(records) % RECORD, RECORD)
    }
    known.update(seen)
    kept = sorted((item for item in known.items() if item[1] >= forget_before), key=lambda item: -item[1])
    return b"".join(who + at.to_bytes(4, "big") for who, at in kept[:MOST_USERS])


def active_users(records: bytes, since: int) -> int:
    """How many were last seen at or after `since` (seconds since the epoch)."""
    times = (records[at + 8 : at + RECORD] for at in range(0, len(records) - len(records) % RECORD, RECORD))
    return sum(int.from_bytes(one, "big") >= since for one in times)


class ServiceCounters:
    """Adds up in this process, and every EVERY seconds adds that to the service's files."""

    def __init__(self, counters: str, users: str) -> None:
        self._counters = counters
        self._users = users
        self._process = os.getpid()
        self._pending = dict.fromkeys(NAMES, 0.0)
        self._seen: dict[str, int] = {}
        self._written = time.monotonic()
        self._timer = False

    def add(self, failed: bool, seconds: float, user: str | None) -> None:
        """Count one request."""
        try:
            if self._process != os.getpid():  # A forked child must not count what its parent will.
                self.__init__(self._counters, self._users)  # type: ignore[misc]
            self._pending["requests"] += 1
            self._pending["errors"] += failed
            self._pending["request_seconds"] += seconds
            if user and self._users:
                self._seen[user] = int(time.time())
            if time.monotonic() - self._written >= EVERY:
                self.flush()
            else:
                self._flush_soon()
        except Exception as error:
            say("a request was not counted", error)

    def _flush_soon(self) -> None:
        if self._timer:
            return
        try:
            from asyncio import get_running_loop

            get_running_loop().call_later(EVERY, self.flush)
            self._timer = True
        except RuntimeError:
            pass  # No loop: the next request writes.

    def flush(self) -> None:
        """Add what is pending to the files."""
        self._timer = False
        self._written = time.monotonic()
        pending, self._pending = self._pending, dict.fromkeys(NAMES, 0.0)
        seen, self._seen = self._seen, {}
        try:
            if self._counters and pending["requests"]:
                _change(self._counters, lambda old: _added(old, pending))
            if seen:
                key = _key(os.path.join(self._users, KEY))
                hashed = {
                    hashlib.blake2b(who.encode(), key=key, digest_size=8).digest(): at for who, at in seen.items()
                }
                before = int(time.time()) - 86400
                _change(os.path.join(self._users, "seen"), lambda old: merge_users(old, hashed, before))
        except OSError as error:
            say("counters are not written", error)


def _added(old: bytes, pending: dict[str, float]) -> bytes:
    before = read_counters(old.decode("ascii", "replace"))
    return write_counters({name: before[name] + pending[name] for name in NAMES}).encode()


def _change(path: str, change: object, mode: int = 0o644) -> bytes:
    """Replace a file's content by what `change` makes of it, one process at a time; the content. Raises OSError."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        size = os.fstat(handle).st_size
        new: bytes = change(os.pread(handle, size, 0))  # type: ignore[operator]
        os.pwrite(handle, new, 0)
        if len(new) < size:
            os.ftruncate(handle, len(new))
        return new
    finally:
        os.close(handle)


def _key(path: str) -> bytes:
    """The secret that makes hashes useless elsewhere: made by the first process, readable by the owner alone."""
    return _change(path, lambda old: old or os.urandom(16), 0o600)


_services: dict[tuple[str, str], ServiceCounters] = {}


def for_service(counters: str, users: str) -> ServiceCounters | None:
    """The process's counters for these files; None where no file is named."""
    if not counters and not users:
        return None
    return _services.setdefault((counters, users), ServiceCounters(counters, users))
