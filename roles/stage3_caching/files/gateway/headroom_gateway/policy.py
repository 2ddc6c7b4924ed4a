# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policy: which hosts are reached, and what is kept of their answers. Read once, from TOML, into plain data."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGED = Path(__file__).with_name("policy.toml")

ANSWERS = frozenset(
    ("chat", "messages", "gemini", "json", "items", "image", "fal_submit", "fal_status", "fal_result", "fal_cancel")
)


FAL_KEEPS_SECONDS = 7 * 86400.0
"""How long Fal keeps a picture at least (https://docs.fal.ai/model-apis/faq): an answer that names one must be gone by
then."""


class PolicyError(Exception):
    """The policy file says something that has no meaning; the message says what and where."""


@dataclasses.dataclass(frozen=True)
class Cache:
    """Sizes in bytes, times in seconds; what each means stands in policy.toml."""

    body_bytes: int
    answer_bytes: int
    image_bytes: int
    images_total_bytes: int
    pack_bytes: int
    pack_entries: int
    jitter: float
    redis_seconds: float
    breaker_failures: int
    breaker_seconds: float


@dataclasses.dataclass(frozen=True)
class Items:
    """The array that is taken apart: its field in the call, in the answer, and an item's own index there."""

    request: str
    response: str
    index: str = ""


@dataclasses.dataclass(frozen=True)
class Route:
    """Calls of one kind. Times in seconds."""

    name: str
    method: str
    path: re.Pattern[str]
    answer: str
    store: str
    when: tuple[tuple[str, Any], ...]
    unless: tuple[str, ...]
    ignore: frozenset[str]
    ordered: frozenset[str]
    items: Items | None
    ttl: float
    grace: float
    variants: int
    status_seconds: float


@dataclasses.dataclass(frozen=True)
class Provider:
    """One provider: where it is, how it is treated. Times in seconds."""

    name: str
    hosts: tuple[str, ...]
    credentials: tuple[str, ...]
    vary: tuple[str, ...]
    scheme: str
    address: str
    concurrency: int
    per_minute: float
    wait_seconds: float
    connect_seconds: float
    first_byte_seconds: float
    idle_seconds: float
    routes: tuple[Route, ...]

    def route(self, method: str, path: str) -> Route | None:
        """Return the first route that fits; `path` comes without its query."""
        for route in self.routes:
            if route.method == method and route.path.fullmatch(path):
                return route
        return None


@dataclasses.dataclass(frozen=True)
class Policy:
    cache: Cache
    providers: Mapping[str, Provider]

    def find(self, name: str) -> tuple[Provider, str] | None:
        """Return the provider and the real host of the first part of a URL: a host's name or a provider's."""
        name = name.lower()
        if name in self.providers:
            provider = self.providers[name]
            return provider, provider.hosts[0]
        for provider in self.providers.values():
            for host in provider.hosts:
                if host == name or (host.startswith("*.") and name.endswith(host[1:]) and _HOST.fullmatch(name)):
                    return provider, name
        return None


_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9_]+")


def load(override: str | None = None) -> Policy:
    """Read the packaged policy and lay the operator's file over it. Raises PolicyError."""
    raw = _toml(PACKAGED)
    if override is not None and Path(override).resolve() != PACKAGED:
        raw = merged(raw, _toml(Path(override)))
    return parse(raw)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PolicyError(f"cannot read the policy {path}: {error}") from error


def merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one table over another, value by value. `when` and `items` are replaced as a whole: half has no sense."""
    result = dict(low)
    for key, value in high.items():
        known = result.get(key)
        whole = key in ("when", "items") or not (isinstance(known, Mapping) and isinstance(value, Mapping))
        result[key] = value if whole else merged(known, value)  # type: ignore[arg-type]
    return result


def parse(raw: Mapping[str, Any]) -> Policy:
    """Turn the tables of the file into a policy. Raises PolicyError."""
    unknown = set(raw) - {"cache", "defaults", "providers"}
    if unknown:
        raise PolicyError(f"there is no table {', '.join(sorted(unknown))}; known: cache, defaults, providers")
    defaults = dict(raw["defaults"])
    route_defaults = defaults.pop("route")
    cache = _build(Cache, raw["cache"], "cache")
    tables = raw["providers"]
    providers = {
        name: _provider(name, merged(defaults, _with_likeness(name, tables)), route_defaults) for name in tables
    }
    return Policy(cache, providers)


def _with_likeness(name: str, tables: Mapping[str, Any], seen: tuple[str, ...] = ()) -> dict[str, Any]:
    own = dict(tables[name])
    model = own.pop("like", None)
    if model is None:
        return own
    if model not in tables or model in (*seen, name):
        raise PolicyError(f"providers.{name}: like = {model!r} names no other provider")
    return merged(_with_likeness(model, tables, (*seen, name)), own)


def _build(kind: type, table: Mapping[str, Any], where: str) -> Any:
    names = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(table) - set(names))
    if unknown:
        raise PolicyError(f"{where}: there is no setting {', '.join(unknown)}")
    try:
        return kind(**table)
    except TypeError as error:
        raise PolicyError(f"{where}: {error}") from error


def _provider(name: str, table: dict[str, Any], route_defaults: Mapping[str, Any]) -> Provider:
    where = f"providers.{name}"
    if not _NAME.fullmatch(name):
        raise PolicyError(f"{where}: a provider's name is made of a-z, 0-9 and _")
    if not table.get("hosts"):
        raise PolicyError(f"{where}: hosts is missing")
    if table["hosts"][0].startswith("*."):
        raise PolicyError(f"{where}: the first of hosts must be a whole name")
    if table["scheme"] not in ("http", "https"):
        raise PolicyError(f"{where}: scheme is http or https, not {table['scheme']!r}")
    routes = [
        _route(route, merged(route_defaults, values), f"{where}.routes.{route}")
        for route, values in table.pop("routes", {}).items()
    ]
    table |= {
        "hosts": tuple(host.lower() for host in table["hosts"]),
        "credentials": tuple(table["credentials"]),
        "vary": tuple(table["vary"]),
        "routes": tuple(routes),
        "name": name,
    }
    provider: Provider = _build(Provider, table, where)
    return provider


def _route(name: str, table: dict[str, Any], where: str) -> Route:
    if "path" not in table:
        raise PolicyError(f"{where}: path is missing")
    if table["store"] not in ("matching", "always", "never"):
        raise PolicyError(f"{where}: store is matching, always or never, not {table['store']!r}")
    if table["answer"] not in ANSWERS:
        raise PolicyError(f"{where}: answer is one of {', '.join(sorted(ANSWERS))}, not {table['answer']!r}")
    items = table.get("items")
    if (table["answer"] == "items") != (items is not None):
        raise PolicyError(f'{where}: answer = "items" and the table items belong together')
    ready = {
        "name": name,
        "method": table["method"],
        "path": re.compile(".*".join(re.escape(part) for part in table["path"].split("*"))),
        "answer": table["answer"],
        "store": table["store"],
        "when": tuple(table["when"].items()),
        "unless": tuple(table["unless"]),
        "ignore": frozenset(table["ignore"]),
        "ordered": frozenset(table["ordered"]),
        "items": None if items is None else _build(Items, items, f"{where}.items"),
        "ttl": table["ttl_hours"] * 3600.0,
        "grace": table["grace_hours"] * 3600.0,
        "variants": table["variants"],
        "status_seconds": float(table.get("status_seconds", 0.0)),
    }
    names_pictures = table["answer"].startswith("fal_") and table["method"] == "POST"
    if names_pictures and ready["ttl"] + ready["grace"] > FAL_KEEPS_SECONDS:
        raise PolicyError(f"{where}: ttl_hours + grace_hours must stay below the 168 for which Fal keeps pictures")
    known = {"path", "ttl_hours", "grace_hours", *ready} - {"name", "ttl", "grace"}
    if unknown := sorted(set(table) - known):
        raise PolicyError(f"{where}: there is no setting {', '.join(unknown)}")
    return Route(**ready)
