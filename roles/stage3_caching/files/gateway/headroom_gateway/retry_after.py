# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a provider asks to be left alone."""

from __future__ import annotations

import email.utils
import math

from headroom_gateway.http_message import Head

LONGEST = 60.0
"""Seconds. A provider that says "tomorrow" (a day's quota) is asked again after this: its owner may have paid since."""


def seconds(head: Head, now: float) -> float:
    """Return the pause that an answer asks for, 0 when it asks for none. `now` is in seconds since 1970.

    Only 429 and 503 ask (RFC 9110 section 10.2.3, RFC 6585 section 4). OpenAI adds retry-after-ms.
    """
    if head.status not in (429, 503):
        return 0.0
    milliseconds = _number(head.header(b"retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000.0, LONGEST)
    value = head.header(b"retry-after")
    number = _number(value)
    if number is None:
        number = _until(value, now)
    return min(number, LONGEST)


def _number(value: bytes) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _until(value: bytes, now: float) -> float:
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value.decode("latin-1")).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return 0.0
