# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Docker engine's configuration file: merging settings into it, and what a setting needs to take effect.

Text and plain data in and out; nothing here reads the host.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# What dockerd takes over on SIGHUP; everything else counts from its next start (moby, daemon/reload.go, and the list
# under "Configuration reload behavior" of the dockerd reference).
RELOADABLE = frozenset(
    {
        "allow-nondistributable-artifacts",
        "authorization-plugins",
        "debug",
        "default-runtime",
        "features",
        "insecure-registries",
        "labels",
        "live-restore",
        "max-concurrent-downloads",
        "max-concurrent-uploads",
        "max-download-attempts",
        "registry-mirrors",
        "runtimes",
        "shutdown-timeout",
    }
)
LIVE_RESTORE = "live-restore"
# Drivers that know max-size and max-file; any other refuses them, and then no container can be created.
_ROTATING_DRIVERS = ("json-file", "local")
_FILE_DRIVER = "json-file"
_CAP_SYS_RESOURCE = 24  # its bit in a capability set, capability(7)


class DaemonJsonError(Exception):
    """The file, or what is wanted of it, cannot be used. Nothing has been changed."""


@dataclass(frozen=True)
class Skipped:
    """A setting that is left alone, and why."""

    name: str
    reason: str


def parse(data: bytes | None, path: str) -> dict[str, Any]:
    """The settings of the file; none where there is no file, or nothing in it.

    Raises DaemonJsonError where it is no JSON object, or names a key twice: dockerd takes the last, and a merge would
    have to drop one.
    """
    if data is None or not data.strip():
        return {}

    def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _value in pairs]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise DaemonJsonError(f"{path} has {', '.join(twice)} twice. Nothing was changed. Keep one of each.")
        return found

    try:
        settings = json.loads(data.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, UnicodeDecodeError) as error:
        raise DaemonJsonError(
            f"{path} is not valid JSON ({error}), so the engine would not start with it. Nothing was changed. Mend it "
            "first."
        ) from error
    if not isinstance(settings, dict):
        raise DaemonJsonError(f"{path} holds no JSON object. Nothing was changed. Mend it first.")
    return settings


def serialize(settings: Mapping[str, Any], like: bytes | None) -> bytes:
    """The settings as text, indented as the text `like` is."""
    found = re.search(rb"^([ \t]+)\"", like or b"", re.MULTILINE)
    indent: str | int = found[1].decode() if found else 2
    return json.dumps(settings, indent=indent, ensure_ascii=False).encode("utf-8") + b"\n"


def merged(settings: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the wanted ones over them: objects are merged key by key, everything else is replaced."""
    result = dict(copy.deepcopy(settings))
    for name, value in wanted.items():
        there = result.get(name)
        if isinstance(there, dict) and isinstance(value, Mapping):
            result[name] = merged(there, value)
        else:
            result[name] = copy.deepcopy(value)
    return result


def unmerged(settings: Mapping[str, Any], before: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Take `wanted` out again: its keys get the values that they have in `before`, or go. Others stay as they are."""
    result = dict(copy.deepcopy(settings))
    for name, value in wanted.items():
        there, first = result.get(name), before.get(name)
        if isinstance(there, dict) and isinstance(value, Mapping):
            rest = unmerged(there, first if isinstance(first, dict) else {}, value)
            if rest or isinstance(first, dict):
                result[name] = rest
                continue
        if name in before:
            result[name] = copy.deepcopy(first)
        else:
            result.pop(name, None)
    return result


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The top-level keys whose values differ, sorted."""
    names = before.keys() | after.keys()
    return sorted(name for name in names if before.get(name) != after.get(name) or (name in before) != (name in after))


def needs_restart(names: Sequence[str], target: Mapping[str, Any]) -> list[str]:
    """Those of the changed keys that a reload does not bring into force.

    One that is gone from the file keeps its value over a reload (moby, daemon/reload.go looks at what is set only).
    live-restore can be switched off without a restart, by a file that says so: see `with_live_restore`.
    """
    return [name for name in names if name not in RELOADABLE or (name not in target and name != LIVE_RESTORE)]


def with_live_restore(settings: Mapping[str, Any], value: bool) -> dict[str, Any]:
    """The same settings with live-restore spelled out, for the time of a restart, or of a reload that ends it."""
    return {**settings, LIVE_RESTORE: value}


# dockerd's flags of one letter. Only -D takes no value, and may have others behind it in the same word.
_SHORT = {
    "D": "debug",
    "G": "group",
    "H": "host",
    "b": "bridge",
    "l": "log-level",
    "p": "pidfile",
    "s": "storage-driver",
}


def _long(word: str) -> list[str]:
    """A word of a command line with its short flags written out: `-DHfd://` is `--debug --host=fd://`."""
    if not word.startswith("-") or word[1:2] not in _SHORT:
        return [word]
    flag, rest = f"--{_SHORT[word[1]]}", word[2:]
    if flag == "--debug" and rest and not rest.startswith("="):
        return [flag, *_long(f"-{rest}")]
    return [f"{flag}={rest.removeprefix('=')}" if rest else flag]


def flags(argv: Sequence[str]) -> dict[str, str]:
    """dockerd's command line as long flag (without dashes) -> value; a key must not stand in the file as well then."""
    found: dict[str, str] = {}
    words = [long for word in argv[1:] for long in _long(word)]
    for index, word in enumerate(words):
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            following = words[index + 1] if index + 1 < len(words) else ""
            found[name] = value if equals else ("" if following.startswith("-") else following)
    return found


# Keys that have no flag (dockerd reference, "Daemon configuration file").
_FILE_ONLY = frozenset({"builder", "features", "proxies"})
# What dockerd cannot start with in another type: "max-file": 3 is refused, "3" is what it wants.
_TYPES = {"live-restore": bool, "userland-proxy": bool, "debug": bool, "log-opts": dict, "default-ulimits": dict}


def flag_of(name: str) -> str:
    """The flag of a key: a key with several values is the plural of its flag (`log-opts`, `insecure-registries`)."""
    if name == "runtimes":
        return "add-runtime"
    if name.endswith("ies"):
        return name[:-3] + "y"
    if name.endswith("s") and not name.endswith(("ss", "dns", "artifacts")):
        return name[:-1]
    return name


def check(wanted: Mapping[str, Any], usage: str) -> None:
    """Hold the wanted settings against `dockerd --help`, for a dockerd that cannot check its file by itself.

    Raises DaemonJsonError for a key that it does not know, and for a value of a type that it would not start with.
    """
    # A flag that takes values has a word for them behind its name; only such a flag has a plural.
    found = dict(re.findall(r"--([a-z0-9][a-z0-9-]*)(?: (\S*))?", usage))
    for name, value in wanted.items():
        if name not in _FILE_ONLY and name not in found and not found.get(flag_of(name)):
            raise DaemonJsonError(f"dockerd --help knows no setting {name!r}. Nothing was changed.")
        kind = _TYPES.get(name)
        if kind and not isinstance(value, kind):
            raise DaemonJsonError(f"{name} has to be a {kind.__name__}, and is {value!r}. Nothing was changed.")
    for name, value in (wanted.get("log-opts") or {}).items():
        if not isinstance(value, str):
            raise DaemonJsonError(f"log-opts takes text only: quote the {value!r} of {name}. Nothing was changed.")


@dataclass(frozen=True)
class Around:
    """What a running engine brings along.

    `command`: see `flags`. `driver`: the log driver in force. `swarm`: whether it is in one. `open_files`: the most
    that it can give a container, None where it may raise its own limit.
    """

    command: Mapping[str, str]
    driver: str
    swarm: bool
    open_files: int | None


def open_files(limits: str, status: str) -> int | None:
    """The hard limit of open files of a process that may not raise it (/proc/PID/limits and /proc/PID/status)."""
    bits = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    if bits and int(bits[1], 16) >> _CAP_SYS_RESOURCE & 1:
        return None
    found = re.search(r"^Max open files\s+\S+\s+(\d+)", limits, re.MULTILINE)
    return int(found[1]) if found else None


def _too_many_files(value: Any, most: int | None) -> bool:
    asked = (value.get("nofile") or {}) if isinstance(value, Mapping) else {}
    return most is not None and max(asked.get("Hard") or 0, asked.get("Soft") or 0) > most


def applicable(
    wanted: Mapping[str, Any], current: Mapping[str, Any], around: Around
) -> tuple[dict[str, Any], list[Skipped]]:
    """What of the wanted settings this engine can take, and what not."""
    taken: dict[str, Any] = {}
    skipped: list[Skipped] = []
    driver = str(wanted.get("log-driver") or current.get("log-driver") or around.driver or _FILE_DRIVER)
    for name, value in wanted.items():
        flag = name if name in around.command else flag_of(name)
        reason = None
        if flag in around.command:
            reason = (
                f"dockerd is started with --{flag}, and refuses to start when the file has it too. Change it there "
                "(its unit, or /etc/default/docker)."
            )
        elif name == LIVE_RESTORE and value and around.swarm:
            reason = "the engine is part of a swarm, which does not go with live-restore."
        elif name == "log-opts" and driver not in _ROTATING_DRIVERS:
            reason = f"the log driver is {driver}, which has no max-size and keeps its own bounds."
        elif name == "default-ulimits" and _too_many_files(value, around.open_files):
            reason = (
                f"dockerd itself may open {around.open_files} files and has no right to raise that (CAP_SYS_RESOURCE), "
                "so no container could be started with more."
            )
        if reason:
            skipped.append(Skipped(name, reason))
        else:
            taken[name] = copy.deepcopy(value)
    return taken, skipped
