# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which calls go to the gateway, under which URL, and whether it is there."""

from __future__ import annotations

import time

from headroom_redirect.complaint import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_SECONDS = 2.0
"""How long to wait for a connection to the gateway, which is on the same machine, before the provider is called."""

AWAY_SECONDS = 5.0
"""How long the gateway is passed by after it did not answer. It restarts in about a second."""

ANSWER_HEADER = "X-Cache"
"""On every answer of the gateway; NONE where no provider has a part in it."""

NO_PROVIDER = (403, 502)
"""Statuses of the gateway's own: a host that its policy does not know, and a provider that it cannot reach."""

NEVER = ("telegram.org",)
"""Long polls, uploads and a token in the path: nothing that a cache may see."""


class Route:
    """The gateway and the hosts whose calls it takes."""

    def __init__(self, gateway: str, hosts: list[str]) -> None:
        self.gateway = gateway
        self.hosts = frozenset(host for host in hosts if not host.startswith("*."))
        self.below = tuple(host[1:] for host in hosts if host.startswith("*."))
        self._away_until = 0.0

    @classmethod
    def parse(cls, setting: str) -> Route:
        """Read `http://HOST[:PORT]=HOST,*.HOST,...`; `*.` takes all names below one. Raises ValueError."""
        gateway, equals, listed = setting.strip().partition("=")
        gateway = gateway.strip().rstrip("/")
        hosts = [host.strip().lower() for host in listed.split(",") if host.strip()]
        if not equals or not gateway.startswith("http://") or "/" in gateway[7:] or len(gateway) == 7 or not hosts:
            raise ValueError(f"HEADROOM_REDIRECT is http://GATEWAY:PORT=HOST,HOST,..., not {setting!r}")
        # `*.org` would take it in as well.
        wrong = [name for name in NEVER for host in hosts if ("." + host).endswith("." + name) or _covers(host, name)]
        if wrong:
            raise ValueError(f"{wrong[0]} is never sent through the gateway: take it out of HEADROOM_REDIRECT")
        return cls(gateway, hosts)

    def takes(self, scheme: str, host: str, port: int | None) -> bool:
        """Tell whether a call of this origin goes to the gateway now."""
        return (
            scheme == "https"
            and port in (None, 443)
            and (host.lower() in self.hosts or host.lower().endswith(self.below))
            and time.monotonic() >= self._away_until
        )

    def path(self, host: str, path: str) -> str:
        """Return the path at the gateway for a path (with its query, as it goes over the wire) at the provider."""
        return f"/{host.lower()}{path if path.startswith('/') else '/' + path}"

    def url(self, url: str) -> str | None:
        """Return the URL at the gateway, None where the call goes to the provider."""
        scheme, _unused, rest = url.partition("://")
        end = min((rest.find(mark) for mark in "/?#" if mark in rest), default=len(rest))
        host, colon, port = rest[:end].partition(":")
        # A name with a password in front of the host is none of the hosts.
        if (colon and not port.isdigit()) or not self.takes(scheme.lower(), host, int(port) if colon else None):
            return None
        return self.gateway + self.path(host, rest[end:].partition("#")[0])

    def answered(self, status: int, headers: Mapping[str, str]) -> bool:
        """Tell whether an answer counts, or the provider is to be asked: as something else than the gateway has
        answered, or the gateway had nobody to ask."""
        mark = headers.get(ANSWER_HEADER)
        if status >= 400 and mark is None:
            self.failed(f"status {status} from something else")
            return False
        return not (mark == "NONE" and status in NO_PROVIDER)

    def failed(self, reason: str) -> None:
        """Note that the gateway did not answer: for a while calls go to the providers."""
        now = time.monotonic()
        if now >= self._away_until:
            log(f"no answer from {self.gateway} ({reason}): calls go to the providers for {AWAY_SECONDS:.0f} s")
        self._away_until = now + AWAY_SECONDS


def _covers(pattern: str, name: str) -> bool:
    return pattern.startswith("*.") and ("." + name).endswith(pattern[1:])
