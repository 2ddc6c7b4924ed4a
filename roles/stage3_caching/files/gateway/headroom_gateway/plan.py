# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to do with one request: pass it on, or look for its answer under which key, and keep a new one or not."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

from headroom_gateway import key as keys
from headroom_gateway.http_message import Request, header
from headroom_gateway.policy import Provider, Route


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A request whose place in the policy is known. `host` is the real one, `target` the path and query there."""

    provider: Provider
    host: str
    target: bytes
    route: Route | None
    request: Request

    @property
    def path(self) -> bytes:
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        return self.target.partition(b"?")[2]


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """`cached` False: pass through, because of `reason`. `max_age` (seconds): how old an answer the client takes.

    `fields` is the body when it is a JSON object.
    """

    cached: bool
    reason: str = ""
    key: bytes = b""
    credential: bytes = b""
    fields: dict[str, Any] | None = None
    read: bool = True
    max_age: float | None = None


def locate(target: bytes) -> tuple[str, bytes]:
    """Split `/<host or provider>/<path>?<query>` into the name and the rest, which begins with a slash."""
    name, slash, rest = target[1:].partition(b"/")
    if not slash:
        name, mark, query = name.partition(b"?")
        rest = mark + query
    return name.decode("ascii", "replace"), b"/" + rest


def credential_of(provider: Provider, request: Request, query: bytes) -> bytes:
    """Return the hash of everything that says whose account is used."""
    parts: list[bytes] = []
    for name in provider.credentials:
        if name.startswith("?"):
            wanted = name[1:].encode()
            for pair in query.split(b"&"):
                known, _unused, value = pair.partition(b"=")
                if known == wanted:
                    parts += (name.encode(), value)
        elif value := header(request.headers, name.encode()):
            parts += (name.encode(), value)
    return keys.digest(parts)


def lookup(fields: Any, dotted: str) -> Any:
    """Return a field by its path (`generationConfig.temperature`), None when it is not there."""
    if "." not in dotted and isinstance(fields, dict):
        return fields.get(dotted)
    for name in dotted.split("."):
        if not isinstance(fields, dict):
            return None
        fields = fields.get(name)
    return fields


def has_value(found: Any, wanted: Any) -> bool:
    """Tell whether a field has the value that a policy asks for; "*" is any that is neither empty nor negative."""
    if wanted == "*":
        if isinstance(found, (int, float)) and not isinstance(found, bool):
            return found >= 0
        return bool(found)
    # In Python False equals 0; in a request it does not.
    return isinstance(found, bool) == isinstance(wanted, bool) and bool(found == wanted)


def unmet(call: Call, route: Route, fields: dict[str, Any]) -> str:
    """Return what keeps a call from being deterministic by the route's own words, "" when nothing does."""
    found: Any
    for name in route.unless:
        if name[0] == "?":
            found = any(pair.partition(b"=")[0] == name[1:].encode() for pair in call.query.split(b"&"))
        elif name[-1] == ":":
            found = header(call.request.headers, name[:-1].encode())
        else:
            found = lookup(fields, name)
        # An empty object asks for something with all its defaults: `web_search_options: {}` searches.
        if found or isinstance(found, dict):
            return f"has {name}"
    if route.unless_model is not None and route.unless_model.fullmatch(str(fields.get("model", "")).lower()):
        return "a model that is not kept"
    if route.store == "always" or route.variants:
        return ""
    for name, wanted in route.when:
        if not has_value(lookup(fields, name), wanted):
            return f"{name} is not set" if wanted == "*" else f"{name} is not {wanted}"
    return ""


def cache_control(request: Request) -> dict[str, str]:
    """Return the directives of a request's Cache-Control, RFC 9111 section 5.2.1."""
    text = request.header(b"cache-control").decode("latin-1")
    if not text and request.header(b"pragma").lower() == b"no-cache":
        return {"no-cache": ""}
    found = {}
    for directive in text.lower().split(","):
        name, _unused, value = directive.strip().partition("=")
        if name:
            found[name] = value.strip('"')
    return found


def _refusal(call: Call, control: dict[str, str]) -> str:
    """Return why a call is not even looked at, from its head alone."""
    request, route = call.request, call.route
    if route is None:
        return "no route"
    if route.store == "never":
        return "route is off"
    if "no-store" in control:
        return "no-store"
    if request.body is None:
        return "body is too long"
    for name in (b"range", b"content-encoding", b"if-none-match", b"if-modified-since"):
        if request.header(name):
            return name.decode()
    if route.method == "POST" and b"json" not in request.header(b"content-type").partition(b";")[0].lower():
        return "not JSON"
    return ""


def _max_age(control: dict[str, str]) -> float | None:
    value = control.get("max-age", "")
    return float(value) if value.isdigit() else None


def decide(call: Call, variant: float = 0.0) -> Plan:
    """Return the plan for a call. `variant`, in [0, 1), picks one of a route's variants."""
    request, route, query = call.request, call.route, call.query
    control = cache_control(request)
    credential = credential_of(call.provider, request, query)
    reason = _refusal(call, control)
    if reason or route is None:
        return Plan(False, reason, credential=credential)
    fields: Any = {}
    if route.method == "POST":
        try:
            fields = keys.parse(request.body or b"")
        except keys.NotCanonical as error:
            return Plan(False, f"body: {error}", credential=credential)
        if not isinstance(fields, dict):
            return Plan(False, "body is no object", credential=credential)
    elif request.body:
        return Plan(False, "has a body", credential=credential)
    if reason := unmet(call, route, fields):
        return Plan(False, reason, credential=credential, fields=fields)
    return Plan(
        True,
        key=whole_key(call, credential, fields, _variant(route, fields, variant)),
        credential=credential,
        fields=fields,
        read="no-cache" not in control,
        max_age=_max_age(control),
    )


def quota(call: Call, plan: Plan) -> bytes:
    """Return the name of the limit that a call counts against at its provider: as a rule one per account and model.

    Of a call that is only passed on, the body is read here: whoever gets a kept answer does not pay for it. One that is
    passed on piece by piece has no model.
    """
    fields: Any = plan.fields
    if fields is None:
        with contextlib.suppress(keys.NotCanonical):
            fields = keys.parse(call.request.body or b"")
    model = str(fields.get("model", "")) if isinstance(fields, dict) else ""
    return keys.digest((plan.credential, call.path, model.encode("utf-8", "replace")))


def _variant(route: Route, fields: dict[str, Any], draw: float) -> int:
    """Return the number of the variant: 0 for a call that is deterministic anyway."""
    if not route.variants or (route.when and all(has_value(lookup(fields, name), want) for name, want in route.when)):
        return 0
    return 1 + int(draw * route.variants)


def whole_key(call: Call, credential: bytes, fields: Any, variant: int = 0) -> bytes:
    """Return the key of a call with these fields; for the items of an array the same with one item in it."""
    route = call.route
    assert route is not None
    body = keys.canonical(fields, route.ignore, route.ordered) if route.method == "POST" else b""
    headers = [(name.encode(), header(call.request.headers, name.encode())) for name in call.provider.vary]
    if route.answer == "image":
        # Image hosts choose the format by what the client accepts.
        headers.append((b"accept", header(call.request.headers, b"accept")))
    return keys.request_key(
        host=call.host, method=route.method, path=call.path, query=call.query, credential=credential,
        headers=headers, body=body, variant=variant,
    )  # fmt: skip
