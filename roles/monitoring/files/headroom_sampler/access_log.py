# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Active users, requests and errors from an access log: a child of the sampler that lives for some milliseconds.

Regular expressions would take a tenth of what the sampler may hold, so it starts this once a minute. Who the users
are is never written down: the state holds keyed hashes and when each was last seen.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
import time

from headroom_sampler.files import content
from headroom_sampler.users import WINDOWS

LINE_LIMIT = 8192
MOST_USERS = 50_000


def state_of(path: str) -> dict:
    """What the last run left, or a fresh state where there is none or it cannot be read."""
    try:
        state = json.loads(content(path))
        return state if isinstance(state, dict) else {}
    except ValueError:
        return {}


def save(path: str, state: dict) -> None:
    """Write the state in one step."""
    with open(path + ".new", "w", encoding="ascii") as stream:
        os.fchmod(stream.fileno(), 0o600)
        json.dump(state, stream)
    os.replace(path + ".new", path)


def where(state: dict, inode: int, size: int) -> int:
    """The offset to read on from: the end at the first run, the start of a log that was rotated or cut."""
    if "inode" not in state:
        return size
    return state["offset"] if state["inode"] == inode and state["offset"] <= size else 0


def count(line: bytes, pattern: re.Pattern[str], state: dict, now: int) -> None:
    """Take one line into the state: groups `user`, `status` and `seconds` where the expression has them."""
    match = pattern.search(line[:LINE_LIMIT].decode("utf-8", "replace"))
    if not match:
        return
    named, totals = match.groupdict(), state["totals"]
    totals["requests"] += 1
    if (named.get("status") or "").startswith("5"):
        totals["errors"] += 1
    with contextlib.suppress(ValueError):  # A log writes "-" for a request that was cut off: it has no time.
        totals["request_seconds"] += float(named.get("seconds") or 0)
    user = named.get("user")
    if user and user != "-":
        key = bytes.fromhex(state["key"])
        state["users"][hashlib.blake2b(user.encode(), key=key, digest_size=8).hexdigest()] = now


def forget(users: dict[str, int], now: int) -> dict[str, int]:
    """The users of the last day; a clock that was put back makes nobody eternal."""
    recent = {who: min(at, now) for who, at in users.items() if at > now - WINDOWS["24h"]}
    newest = sorted(recent.items(), key=lambda item: -item[1])[:MOST_USERS]
    return dict(newest)


def read(path: str, pattern: re.Pattern[str], state: dict, now: int) -> dict:
    """The state after all whole lines that the log has got since. Raises OSError where it cannot be read."""
    state = {
        "key": state.get("key") or os.urandom(16).hex(),
        "users": state.get("users", {}),
        "totals": state.get("totals") or {"requests": 0, "errors": 0, "request_seconds": 0.0},
        **{name: state[name] for name in ("inode", "offset") if name in state},
    }
    with open(path, "rb") as stream:
        seen = os.fstat(stream.fileno())
        offset = where(state, seen.st_ino, seen.st_size)
        stream.seek(offset)
        for line in stream:
            if not line.endswith(b"\n"):
                break
            offset += len(line)
            count(line, pattern, state, now)
    state["inode"], state["offset"] = seen.st_ino, offset
    state["users"] = forget(state["users"], now)
    return state


def report(state: dict, now: int) -> str:
    """The lines that the sampler reads."""
    found = {f"users_{name}": sum(at > now - span for at in state["users"].values()) for name, span in WINDOWS.items()}
    return "".join(f"{name} {value}\n" for name, value in {**found, **state["totals"]}.items())


def main(log: str, pattern: str, state_path: str) -> None:
    """Read on in the log, save the state, print the figures."""
    now = int(time.time())
    state = read(log, re.compile(pattern), state_of(state_path), now)
    save(state_path, state)
    sys.stdout.write(report(state, now))
