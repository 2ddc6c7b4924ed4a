# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bytes of sizes as an operator writes them. The dialects are those of module_utils/units.py."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.smallhost.headroom.plugins.module_utils import units


def _filter(parse: Callable[[Any], int]) -> Callable[[Any], int]:
    def filtered(value: Any) -> int:
        try:
            return parse(value)
        except units.SizeError as error:
            raise AnsibleFilterError(str(error)) from error

    return filtered


class FilterModule:
    """See compose_bytes.yml and redis_bytes.yml."""

    def filters(self) -> dict[str, Callable[[Any], int]]:
        return {"compose_bytes": _filter(units.parse_compose_size), "redis_bytes": _filter(units.parse_redis_size)}
