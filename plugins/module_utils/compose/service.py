# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service's command flags, environment, volumes, image, grace period and restart policy: what to write, and whether
a running container has it.

Plain data in and out. Two views of a service go in: the effective one (`docker compose config`, variables resolved)
decides whether anything has to change, the written one (the file's own text) decides how.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.compose import parts
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.command import CommandLine
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.edit import Delete, Document, Set

Change = "Set | Delete"

# What Docker waits before it kills a container that was asked to stop (docker run --stop-timeout).
_DEFAULT_GRACE_SECONDS = 10.0
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|us|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000001}

# What Compose adds to every container from `proxies` of the Docker client's config.json (docker/cli, config/configfile,
# ParseProxyConfig).
_PROXIES = frozenset(
    case(f"{kind}_proxy") for kind in ("http", "https", "ftp", "no", "all") for case in (str.lower, str.upper)
)


def plain(text: Any) -> str:
    """A value of `docker compose config` as the container gets it: Compose doubles every dollar in its output."""
    return str(text).replace("$$", "$")


def seconds(duration: Any) -> float:
    """Seconds of a Compose duration (`1m30s`, `90s`). Raises ValueError."""
    text = str(duration).strip()
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration: write for example 90s or 1m30s.")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def words(value: Any) -> list[str]:
    """A command or entrypoint of `docker compose config` as the container's words."""
    if value is None:
        return []
    return [plain(word) for word in ([value] if isinstance(value, str) else value)]


def environment(service: Mapping[str, Any]) -> dict[str, str]:
    """The variables that Compose sets, those of its env files included."""
    return {name: plain(value) for name, value in (service.get("environment") or {}).items() if value is not None}


# What to write


def plan_flags(
    name: str,
    flags: Sequence[Mapping[str, Any]],
    service: Mapping[str, Any],
    written: Any,
    keep_interpolation: bool = True,
) -> list[Set | Delete]:
    """Set or remove flags of the service's command. `written`: the command as the files have it.

    Raises ValueError (CommandError too) where there is no command to change or it cannot be read.
    """
    if not flags or not unmet_flags(flags, service):
        return []
    if not written:
        raise ValueError(
            f"{name} has no command in the compose file (its image brings one), so no flag of it can be changed. "
            "Write the command into the file first."
        )
    line = CommandLine.parse(written, entrypoint=words(service.get("entrypoint")))
    for flag in flags:
        if _removed(flag):
            line = line.without_flag(flag["name"])
        else:
            line = line.with_flag(flag["name"], flag["value"] or None, keep_interpolation=keep_interpolation)
    return [Set(("services", name, "command"), line.value, literal=True)]


def _removed(entry: Mapping[str, Any]) -> bool:
    return entry.get("state") == "absent" or entry.get("value") is None


def unmet_flags(flags: Sequence[Mapping[str, Any]], service: Mapping[str, Any]) -> list[str]:
    """The flags that the effective command does not have as wanted."""
    command = service.get("command")
    if not command:
        return [flag["name"] for flag in flags]
    line = CommandLine.parse(words(command), entrypoint=words(service.get("entrypoint")))
    missing = []
    for flag in flags:
        if _removed(flag):
            good = not line.has(flag["name"])
        else:
            found = line.get_all(flag["name"])
            wanted = (plain(flag["value"]),) if flag["value"] else ()
            good = found == [wanted] or (len(found) == 1 and "$" in str(flag["value"]))
        if not good:
            missing.append(flag["name"])
    return missing


def plan_environment(
    name: str, wanted: Sequence[Mapping[str, Any]], service: Mapping[str, Any], document: Document
) -> list[Set | Delete]:
    """Set or remove variables, in the form (list or mapping) that the target file uses for this service."""
    missing = set(unmet_environment(wanted, service))
    place = ("services", name, "environment")
    there = document.get(place)
    entries = list(there) if isinstance(there, list) else None
    changes: list[Set | Delete] = []
    gone: list[int] = []
    for entry in wanted:
        if entry["name"] not in missing:
            continue
        if entries is None:
            path = (*place, entry["name"])
            changes.append(Delete(path) if _removed(entry) else Set(path, str(entry["value"]), literal=True))
            continue
        index = parts.index_of("environment", entries, entry["name"])
        if _removed(entry):
            gone += [] if index is None else [index]
            continue
        text = f"{entry['name']}={entry['value']}"
        changes.append(Set((*place, _placed(entries, index, text)), text, literal=True))
    return changes + _deletions(place, gone)


def _placed(entries: list[Any], index: int | None, text: str) -> int:
    """Put the text into the list, at the index or at its end; return where it stands."""
    if index is None:
        index = len(entries)
        entries.append(text)
    entries[index] = text
    return index


def _deletions(place: tuple[str, ...], indexes: Sequence[int]) -> list[Set | Delete]:
    """The last one first, so that the indexes of the others stay true."""
    return [Delete((*place, index)) for index in sorted(indexes, reverse=True)]


def unmet_environment(wanted: Sequence[Mapping[str, Any]], service: Mapping[str, Any]) -> list[str]:
    """The variables that the effective configuration does not have as wanted."""
    now = environment(service)
    missing = []
    for entry in wanted:
        name = entry["name"]
        if _removed(entry):
            good = name not in now
        else:
            good = name in now and ("$" in re.sub(r"\$\$", "", entry["value"]) or now[name] == plain(entry["value"]))
        if not good:
            missing.append(name)
    return missing


def _volume_text(volume: Mapping[str, Any]) -> str:
    return f"{volume['source']}:{volume['target']}" + (":ro" if volume.get("read_only") else "")


def plan_volumes(
    name: str, wanted: Sequence[Mapping[str, Any]], model: Mapping[str, Any], document: Document
) -> list[Set | Delete]:
    """Mount or unmount volumes; a named one that the project does not know is declared."""
    service = model["services"][name] or {}
    missing = set(unmet_volumes(wanted, service))
    place = ("services", name, "volumes")
    entries = list(document.get(place) or [])
    changes: list[Set | Delete] = []
    gone: list[int] = []
    for volume in wanted:
        if volume["target"] not in missing:
            continue
        index = parts.index_of("volumes", entries, volume["target"])
        if volume.get("state") == "absent":
            gone += [] if index is None else [index]
            continue
        if not volume.get("source"):
            raise ValueError(f"{name}: the volume for {volume['target']} needs a source.")
        text = _volume_text(volume)
        changes.append(Set((*place, _placed(entries, index, text)), text))
        source = str(volume["source"])
        if is_named(source) and source not in (model.get("volumes") or {}):
            changes.append(Set(("volumes", source), {}))
    return changes + _deletions(place, gone)


def is_named(source: str) -> bool:
    """Whether a volume's source is a named volume, not a path of the host."""
    return not source.startswith((".", "/", "~")) and "$" not in source


def unmet_volumes(wanted: Sequence[Mapping[str, Any]], service: Mapping[str, Any]) -> list[str]:
    """The targets whose volume the effective configuration does not have as wanted."""
    now = {str(entry.get("target")): entry for entry in service.get("volumes") or []}
    missing = []
    for volume in wanted:
        entry = now.get(volume["target"])
        if volume.get("state") == "absent":
            wrong = entry is not None
        else:
            wrong = entry is None or not _same_volume(entry, volume)
        if wrong:
            missing.append(volume["target"])
    return missing


def _same_volume(entry: Mapping[str, Any], volume: Mapping[str, Any]) -> bool:
    if bool(entry.get("read_only")) != bool(volume.get("read_only")):
        return False
    source, now = str(volume.get("source")), str(entry.get("source"))
    if "$" in source:
        return True
    # Compose makes relative paths absolute; which folder they are relative to is Compose's business.
    return now == source if is_named(source) or source.startswith("/") else now.endswith(source.lstrip("./~"))


SCALARS = ("image", "stop_grace_period", "restart")


def plan_scalars(name: str, wanted: Mapping[str, Any], service: Mapping[str, Any]) -> list[Set | Delete]:
    """Set image, grace period and restart policy where they differ. Raises ValueError for a wrong duration."""
    missing = unmet_scalars(wanted, service)
    return [Set(("services", name, key), str(wanted[key])) for key in missing]


def unmet_scalars(wanted: Mapping[str, Any], service: Mapping[str, Any]) -> list[str]:
    """The scalar settings that the effective configuration does not have as wanted."""
    missing = []
    for key in SCALARS:
        value, now = wanted.get(key), service.get(key)
        if value is None:
            continue
        if key == "stop_grace_period":
            good = now is not None and seconds(now) == seconds(value)
        else:
            good = plain(now) == plain(value) or (now is not None and "$" in str(value))
        if not good:
            missing.append(key)
    return missing


# Whether a container has it


def pending(
    aspects: Sequence[str], model: Mapping[str, Any], name: str, container: Mapping[str, Any], image: Mapping[str, Any]
) -> list[str]:
    """Which of these settings the container does not have as the effective configuration says.

    `container` and `image` are what the engine's inspection returns; an image's own command and variables hold where
    the configuration has none.
    """
    service = model.get("services", {}).get(name) or {}
    checks = {
        "command": lambda: _command_differs(service, container, image),
        "environment": lambda: _environment_differs(service, container, image),
        "volumes": lambda: _volumes_differ(service, model, container),
        "image": lambda: "image" in service and service["image"] != container["Config"].get("Image"),
        "stop_grace_period": lambda: _grace_differs(service, container),
        "restart": lambda: _restart_differs(service, container),
    }
    return [aspect for aspect in aspects if aspect in checks and checks[aspect]()]


def _command_differs(service: Mapping[str, Any], container: Mapping[str, Any], image: Mapping[str, Any]) -> bool:
    expected = words(service.get("command"))
    if not expected and not service.get("entrypoint"):
        expected = list((image.get("Config") or {}).get("Cmd") or [])
    return expected != list(container["Config"].get("Cmd") or [])


def _as_mapping(entries: Sequence[str] | None) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in entries or [])


def _environment_differs(service: Mapping[str, Any], container: Mapping[str, Any], image: Mapping[str, Any]) -> bool:
    listed = environment(service)
    expected = {**_as_mapping((image.get("Config") or {}).get("Env")), **listed}
    found = _as_mapping(container["Config"].get("Env"))
    # Not the file's to say: the client's proxies, and names without a value, which Compose's own environment gives.
    unsaid = {*_PROXIES, *(service.get("environment") or {})} - listed.keys()
    return any(expected.get(name) != found.get(name) for name in {*expected, *found} - unsaid)


def _unlisted_targets(service: Mapping[str, Any], services: Mapping[str, Any]) -> set[str]:
    """Where a container has mounts that its `volumes` do not list: secrets, configs, and what other services share.

    Secrets and configs as Compose places them (docker/compose, pkg/compose/create.go, buildContainerSecretMounts).
    """
    found = set()
    for key, folder in (("secrets", "/run/secrets"), ("configs", "/")):
        for entry in service.get(key) or []:
            found.add(posixpath.normpath(posixpath.join(folder, entry.get("target") or entry["source"])))
    for shared in service.get("volumes_from") or []:
        other = services.get(shared.partition(":")[0]) or {}
        found.update(str(entry["target"]).rstrip("/") for entry in other.get("volumes") or [])
        found |= _unlisted_targets(other, services)
    return found


def _volumes_differ(service: Mapping[str, Any], model: Mapping[str, Any], container: Mapping[str, Any]) -> bool:
    declared, expected = model.get("volumes") or {}, set()
    for entry in service.get("volumes") or []:
        if entry.get("type") not in ("bind", "volume") or not entry.get("source"):
            continue
        source = entry["source"]
        if entry["type"] == "volume":
            source = (declared.get(source) or {}).get("name", source)
        expected.add((plain(source), str(entry["target"]).rstrip("/"), not entry.get("read_only")))
    unlisted = _unlisted_targets(service, model.get("services", {})) - {entry[1] for entry in expected}
    found = set()
    for mount in container.get("Mounts") or []:
        # A volume that an image or an entry without a source asked for has a random name of 64 hex digits.
        anonymous = mount.get("Type") == "volume" and re.fullmatch(r"[0-9a-f]{64}", mount.get("Name") or "")
        target = str(mount["Destination"]).rstrip("/")
        if mount.get("Type") in ("bind", "volume") and not anonymous and target not in unlisted:
            source = mount.get("Name") if mount["Type"] == "volume" else mount.get("Source")
            found.add((source, target, bool(mount.get("RW"))))
    return expected != found


def _grace_differs(service: Mapping[str, Any], container: Mapping[str, Any]) -> bool:
    wanted = service.get("stop_grace_period")
    expected = _DEFAULT_GRACE_SECONDS if wanted is None else float(int(seconds(wanted)))
    found = container["Config"].get("StopTimeout")
    return expected != (_DEFAULT_GRACE_SECONDS if found is None else float(found))


def _restart_differs(service: Mapping[str, Any], container: Mapping[str, Any]) -> bool:
    policy = container["HostConfig"].get("RestartPolicy") or {}
    name, count = policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0
    return str(service.get("restart") or "no") != (f"{name}:{count}" if name == "on-failure" and count else name)
