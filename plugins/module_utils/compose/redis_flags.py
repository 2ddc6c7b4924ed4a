# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much memory a service's Redis may fill, as its command line says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import units

_SERVERS = ("redis-server", "valkey-server")


def _from_words(words: Sequence[str]) -> int | None:
    """Bytes of `--maxmemory` in a command line, or None where there is none (0 means: no bound, so None too)."""
    if not any(server in word for word in words for server in _SERVERS):
        return None
    # Only here, so that a task on a project without Redis does not load it.
    from ansible_collections.smallhost.headroom.plugins.module_utils.compose.command import CommandLine
    from ansible_collections.smallhost.headroom.plugins.module_utils.compose.words import CommandError

    try:
        value = CommandLine.parse(list(words)).get("--maxmemory")
        return units.parse_redis_size(value) or None if value is not None else None
    except (CommandError, units.SizeError):
        return None


def maxmemory_of(service: Mapping[str, Any], running: Sequence[Sequence[str]]) -> int | None:
    """Redis' maxmemory in bytes: the file's command line counts, else those of the running containers.

    `service` is a part of `docker compose config`. The file comes first because that is what a restart brings.
    None: no Redis, no bound on its command line, or one that cannot be read.
    """
    command = service.get("command")
    if command:
        entry = service.get("entrypoint") or []
        words = [*([entry] if isinstance(entry, str) else entry), *([command] if isinstance(command, str) else command)]
        if any(server in str(word) for word in words for server in _SERVERS):
            return _from_words([str(word) for word in words])
    found = [value for value in map(_from_words, running) if value]
    return max(found) if found else None
