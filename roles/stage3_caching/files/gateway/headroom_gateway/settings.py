# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the environment says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

PREFIX = "HEADROOM_GATEWAY_"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingsError(Exception):
    """A variable has a value that means nothing; the message says which and why."""


class Settings(NamedTuple):
    """`policy` and `upstream_ca` are paths of files, None when not set."""

    host: str
    port: int
    redis_url: str
    policy: str | None
    upstream_ca: str | None
    log_level: str


def read(environment: Mapping[str, str]) -> Settings:
    """Read the variables HEADROOM_GATEWAY_*. Raises SettingsError."""
    listen = environment.get(PREFIX + "LISTEN") or "0.0.0.0:8080"
    host, _unused, port = listen.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"{PREFIX}LISTEN is address:port, not {listen!r}")
    redis_url = environment.get(PREFIX + "REDIS_URL", "")
    if redis_url and not redis_url.startswith(("redis://", "unix://")):
        raise SettingsError(f"{PREFIX}REDIS_URL begins with redis:// or unix://")
    level = (environment.get(PREFIX + "LOG_LEVEL") or "INFO").upper()
    if level not in LEVELS:
        raise SettingsError(f"{PREFIX}LOG_LEVEL is one of {', '.join(LEVELS)}, not {level!r}")
    return Settings(
        host=host.strip("[]") or "0.0.0.0",
        port=int(port),
        redis_url=redis_url,
        policy=environment.get(PREFIX + "POLICY") or None,
        upstream_ca=environment.get(PREFIX + "UPSTREAM_CA") or None,
        log_level=level,
    )
