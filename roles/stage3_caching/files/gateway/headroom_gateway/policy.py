# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policy: which hosts are reached, and what is kept of their answers. Read once, from TOML, into plain data."""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from headroom_gateway.tables import PolicyError, as_table, build, setting

PACKAGED = Path(__file__).with_name("policy.toml")

ANSWERS = frozenset(
    ("chat", "messages", "gemini", "json", "items", "image", "fal_submit", "fal_status", "fal_result", "fal_cancel")
)


FAL_KEEPS_SECONDS = 7 * 86400.0
"""How long Fal keeps a picture at least (https://docs.fal.ai/model-apis/faq): an answer that names one must be gone by
then."""


Share = Annotated[float, (0, 1)]
Hours = Annotated[float, (0, 87_600)]
"""Ten years at most: the end of an entry has four bytes."""
Variants = Annotated[int, (0, 2**32 - 1)]
"""The number of one has four bytes in the key."""
Limit = Annotated[float, (0.001, math.inf)]
"""Seconds after which something is given up: with none, everything would be."""


@dataclasses.dataclass(frozen=True)
class Cache:
    """Sizes in bytes, times in seconds; what each means stands in policy.toml."""

    body_bytes: int
    answer_bytes: int
    image_bytes: int
    images_total_bytes: int
    pack_bytes: int
    pack_entries: int
    jitter: Share
    redis_seconds: Limit
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
    unless_model: re.Pattern[str] | None
    ignore: frozenset[str]
    ordered: frozenset[str]
    items: Items | None
    ttl: float
    grace: float
    variants: Variants
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
    connect_seconds: Limit
    first_byte_seconds: Limit
    idle_seconds: Limit
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
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:/\s]+):([0-9]{1,5})")
_HOSTS = re.compile(r"(\*\.)?[A-Za-z0-9_][A-Za-z0-9_.:-]*")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token, RFC 9110 section 5.6.2."""
_CREDENTIAL = re.compile(rf"\?.+|{_HEADER.pattern}")


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
    defaults = as_table(raw["defaults"], "defaults")
    route_defaults = as_table(defaults.pop("route"), "defaults.route")
    cache = build(Cache, raw["cache"], "cache")
    tables = as_table(raw["providers"], "providers")
    providers = {
        name: _provider(name, merged(defaults, _with_likeness(name, tables)), route_defaults) for name in tables
    }
    return Policy(cache, providers)


def _with_likeness(name: str, tables: Mapping[str, Any], seen: tuple[str, ...] = ()) -> dict[str, Any]:
    own = as_table(tables[name], f"providers.{name}")
    model = own.pop("like", None)
    if model is None:
        return own
    if not isinstance(model, str) or model not in tables or model in (*seen, name):
        raise PolicyError(f"providers.{name}: like = {model!r} names no other provider")
    return merged(_with_likeness(model, tables, (*seen, name)), own)


def _names(words: tuple[str, ...], form: re.Pattern[str], where: str) -> tuple[str, ...]:
    """Return names in lower case, but for parameters of a query ("?name"), whose case counts. Raises PolicyError."""
    for word in words:
        if not form.fullmatch(word):
            raise PolicyError(f"{where}: {word!r} is no such name")
    return tuple(word if word.startswith("?") else word.lower() for word in words)


def _address(text: str, where: str) -> str:
    """Return an address as the connection wants it: without the brackets of IPv6. Raises PolicyError."""
    found = _ADDRESS.fullmatch(text)
    if text and (found is None or not 0 < int(found[2]) < 65536):
        raise PolicyError(f'{where}: address is "host:port", not {text!r}')
    return text.replace("[", "").replace("]", "")


def _provider(name: str, table: dict[str, Any], route_defaults: Mapping[str, Any]) -> Provider:
    where = f"providers.{name}"
    if not _NAME.fullmatch(name):
        raise PolicyError(f"{where}: a provider's name is made of a-z, 0-9 and _")
    routes = tuple(
        _route(route, merged(route_defaults, as_table(values, f"{where}.routes.{route}")), f"{where}.routes.{route}")
        for route, values in as_table(table.pop("routes", {}), f"{where}.routes").items()
    )
    provider: Provider = build(Provider, table, where, name=name, routes=routes)
    if not provider.hosts:
        raise PolicyError(f"{where}: hosts is missing")
    if provider.hosts[0].startswith("*."):
        raise PolicyError(f"{where}: the first of hosts must be a whole name")
    if provider.scheme not in ("http", "https"):
        raise PolicyError(f"{where}: scheme is http or https, not {provider.scheme!r}")
    return dataclasses.replace(
        provider,
        hosts=_names(provider.hosts, _HOSTS, f"{where}: hosts"),
        credentials=_names(provider.credentials, _CREDENTIAL, f"{where}: credentials"),
        vary=_names(provider.vary, _HEADER, f"{where}: vary"),
        address=_address(provider.address, where),
    )


def _route(name: str, table: dict[str, Any], where: str) -> Route:
    ready: dict[str, Any] = {
        field: 3600.0 * setting(Hours, hours, table.pop(hours), where)
        for field, hours in (("ttl", "ttl_hours"), ("grace", "grace_hours"))
    }
    items = table.pop("items", None)
    ready["items"] = None if items is None else build(Items, items, f"{where}.items")
    route: Route = build(Route, table, where, name=name, **ready)
    if not route.method.isalpha():
        raise PolicyError(f"{where}: method is GET, POST or the like, not {route.method!r}")
    if route.store not in ("matching", "always", "never"):
        raise PolicyError(f"{where}: store is matching, always or never, not {route.store!r}")
    if route.answer not in ANSWERS:
        raise PolicyError(f"{where}: answer is one of {', '.join(sorted(ANSWERS))}, not {route.answer!r}")
    if (route.answer == "items") != (route.items is not None):
        raise PolicyError(f'{where}: answer = "items" and the table items belong together')
    unless = tuple(word.lower() if word.endswith(":") else word for word in route.unless)
    route = dataclasses.replace(route, method=route.method.upper(), unless=unless)
    names_pictures = route.answer.startswith("fal_") and route.method == "POST"
    if names_pictures and route.ttl + route.grace > FAL_KEEPS_SECONDS:
        raise PolicyError(f"{where}: ttl_hours + grace_hours must stay below the 168 for which Fal keeps pictures")
    return route
