# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts the hooks into the HTTP client libraries, now or when the application imports them."""

from __future__ import annotations

from headroom_redirect.imports import when_imported
from headroom_redirect.route import Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


def install(setting: str) -> Route:
    """Redirect as HEADROOM_REDIRECT says. Raises ValueError where it is malformed, and then nothing is redirected."""
    route = Route.parse(setting)

    def httpx(module: ModuleType) -> None:
        from headroom_redirect import httpx_hook

        httpx_hook.hook(module, route)

    def requests(module: ModuleType) -> None:
        from headroom_redirect import requests_hook

        requests_hook.hook(module, route)

    def aiohttp(module: ModuleType) -> None:
        from headroom_redirect import aiohttp_hook

        aiohttp_hook.hook(module, route)

    when_imported({"httpx": httpx, "httpx2": httpx, "requests": requests, "aiohttp": aiohttp})
    return route
