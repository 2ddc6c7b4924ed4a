# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits of a service, in the style that the service, or else its file, already uses.

A limit has up to two places: the `mem_limit` family and `deploy.resources`. Compose refuses the first beside the
second unless both say the same, and it takes a missing value for a different one (compose-go loader/validate.go,
"can't set distinct values on"). So where both stand, both are written; where one stands, that one is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.smallhost.headroom.plugins.module_utils import units

Path = tuple[str, ...]
Wanted = Mapping[str, "int | float | None"]

_LIMITS: Path = ("deploy", "resources", "limits")
_RESERVATIONS: Path = ("deploy", "resources", "reservations")
_DEFAULT_PERIOD = 100_000  # microseconds: what Compose and the engine take where cpu_period is missing


@dataclass(frozen=True)
class Option:
    """One limit: where it stands in either style, how its text is read, and how it is written.

    `guard` is the part of `deploy.resources` whose mere presence makes Compose compare both places.
    """

    name: str
    classic: Path
    deploy: Path | None
    guard: Path | None
    parse: Callable[[Any], int | float]
    write: Callable[[Any], Any]


def _number(value: Any) -> float:
    return float(str(value))


def _whole(value: Any) -> int:
    return int(float(str(value)))


def _size(value: Any) -> int:
    """Bytes. -1 (memory+swap without an end) is Compose's own value."""
    return -1 if str(value).strip() == "-1" else units.parse_compose_size(value)


def _write_size(value: Any) -> str | int:
    return int(value) if value <= 0 else units.format_compose_size(int(value))


def _write_cpus(value: Any) -> int | float:
    return int(value) if float(value).is_integer() else float(value)


OPTIONS = (
    Option("memory", ("mem_limit",), (*_LIMITS, "memory"), _LIMITS, _size, _write_size),
    # Compose has no such key below deploy.resources and takes this one in both styles.
    Option("memory_swap", ("memswap_limit",), None, None, _size, _write_size),
    Option(
        "memory_reservation",
        ("mem_reservation",),
        (*_RESERVATIONS, "memory"),
        _RESERVATIONS,
        _size,
        _write_size,
    ),
    Option("cpus", ("cpus",), (*_LIMITS, "cpus"), _LIMITS, _number, _write_cpus),
    Option("pids", ("pids_limit",), (*_LIMITS, "pids"), _LIMITS, _whole, int),
)
NAMES = tuple(option.name for option in OPTIONS)


def at(data: Any, path: Iterable[Any]) -> Any:
    """What stands at the path of plain data, or None."""
    for part in path:
        if not isinstance(data, Mapping) or part not in data:
            return None
        data = data[part]
    return data


def _has(data: Any, path: Path) -> bool:
    """Whether the key stands there, even with nothing in it."""
    parent = at(data, path[:-1])
    return isinstance(parent, Mapping) and path[-1] in parent


def _read(option: Option, service: Mapping[str, Any], place: Path) -> int | float | None:
    value = at(service, place)
    return None if value is None else option.parse(value)


def effective(service: Mapping[str, Any]) -> dict[str, int | float | None]:
    """The limits that Compose gives to the service's containers: bytes, processors, count; None: no limit.

    `service` is its part of `docker compose config`. Compose takes `deploy.resources` over the older keys.
    """
    found: dict[str, int | float | None] = {}
    for option in OPTIONS:
        value = _read(option, service, option.deploy) if option.deploy else None
        if value is None:
            value = _read(option, service, option.classic)
        # Compose passes 0 on as "not set".
        found[option.name] = value or None
    if found["cpus"] is None and _quota(service):
        found["cpus"] = _quota(service) / (_whole(service.get("cpu_period") or 0) or _DEFAULT_PERIOD)
    return found


def _quota(service: Mapping[str, Any]) -> int:
    value = _whole(service.get("cpu_quota") or 0)
    return value if value > 0 else 0


def uses_deploy(services: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a project writes its limits below `deploy.resources`: more services do than use the older keys."""
    deploy = sum(_has(service or {}, _LIMITS) for service in services.values())
    return deploy > sum(_is_classic(service or {}) for service in services.values())


def _is_classic(service: Mapping[str, Any]) -> bool:
    return any(_has(service, option.classic) for option in OPTIONS)


def places(option: Option, service: Mapping[str, Any], prefer_deploy: bool) -> list[Path]:
    """Where a limit of this service is to be written: one place, or both where both are in use already."""
    if option.deploy is None or option.guard is None:
        return [option.classic]
    classic, guarded = _has(service, option.classic), _has(service, option.guard)
    if guarded:
        return [option.deploy, option.classic] if classic else [option.deploy]
    if classic or (_is_classic(service) and not _has(service, _LIMITS)):
        return [option.classic]
    return [option.deploy] if prefer_deploy or _has(service, _LIMITS) else [option.classic]


def plan(service: Mapping[str, Any], wanted: Wanted, prefer_deploy: bool) -> list[tuple[Path, Any]]:
    """What to write so that the service gets `wanted` (None: leave as it is): paths inside the service, and values.

    Empty where the effective configuration says it already, however it is spelled.
    """
    changes: list[tuple[Path, Any]] = []
    now = effective(service)
    for option in OPTIONS:
        value = wanted.get(option.name)
        if value is None or _equal(option, now[option.name], value):
            continue
        if option.name == "cpus" and _quota(service) and at(service, ("cpus",)) is None:
            # The engine refuses a processor count beside a quota, so the quota is what changes.
            period = _whole(service.get("cpu_period") or 0) or _DEFAULT_PERIOD
            changes.append((("cpu_quota",), round(float(value) * period)))
            continue
        for place in places(option, service, prefer_deploy):
            # The schema of deploy.resources wants text for processors; both families take text for sizes.
            text = option.write(value)
            changes.append((place, str(text) if option.name == "cpus" and place == option.deploy else text))
    return changes


def _equal(option: Option, now: int | float | None, value: int | float) -> bool:
    if option.name == "cpus":
        return now is not None and abs(float(now) - float(value)) < 1e-9
    if option.name == "pids" and value <= 0:
        return now is None or now <= 0
    return now == value


def unmet(service: Mapping[str, Any], wanted: Wanted) -> list[str]:
    """The wanted limits that the effective configuration does not carry (after a change that should have set them)."""
    now = effective(service)
    return [
        option.name
        for option in OPTIONS
        if wanted.get(option.name) is not None and not _equal(option, now[option.name], wanted[option.name])  # type: ignore[arg-type]
    ]


def replicas(service: Mapping[str, Any]) -> int:
    """How many containers Compose starts for the service."""
    count = service.get("scale")
    if count is None:
        count = at(service, ("deploy", "replicas"))
    return 1 if count is None else int(count)
