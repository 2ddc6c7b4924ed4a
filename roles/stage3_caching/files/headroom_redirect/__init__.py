# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends calls of paid APIs through the gateway, by rewriting URLs in the HTTP client libraries.

Imported at the start of every Python process whose environment has HEADROOM_REDIRECT:

    HEADROOM_REDIRECT=http://headroom-gateway:8080=api.openai.com,queue.fal.run

`https://api.openai.com/v1/models` then goes to `http://headroom-gateway:8080/api.openai.com/v1/models`, from httpx,
httpx2, requests and aiohttp. A library is changed at the moment when the application imports it, and never imported
from here. Where the gateway does not answer, the call goes to the provider as it would have without this package. Where
it is lost in the middle of a streamed chat answer, the rest comes from the provider (in httpx and httpx2).

Python 3.8 and newer, nothing but the standard library, and of that only what a bare interpreter has loaded anyway.
"""

from __future__ import annotations

import os

if os.environ.get("HEADROOM_REDIRECT"):
    from headroom_redirect import install

    install.install(os.environ["HEADROOM_REDIRECT"])
