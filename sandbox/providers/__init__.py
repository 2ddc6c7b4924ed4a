# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stand-ins for the services that the reference stack calls: Telegram, OpenAI, Fal and DeepL.

One container answers all of them under their real host names: it has a small name server and a certificate for
these names, signed by a private authority that the sandbox's base images trust.
"""

from __future__ import annotations

TELEGRAM = "api.telegram.org"
OPENAI = "api.openai.com"
FAL_QUEUE = "queue.fal.run"
FAL_RUN = "fal.run"
FAL_MEDIA = "v3.fal.media"
# fal_client asks these for upload tokens; the second is what older releases use.
FAL_REST = ("rest.fal.ai", "rest.alpha.fal.ai")
DEEPL = ("api-free.deepl.com", "api.deepl.com")

HOST_NAMES = (TELEGRAM, OPENAI, FAL_QUEUE, FAL_RUN, FAL_MEDIA, *FAL_REST, *DEEPL)

CONTROL_PORT = 8080
"""Plain HTTP, for the load and the tests: counters, faults, messages of users."""
