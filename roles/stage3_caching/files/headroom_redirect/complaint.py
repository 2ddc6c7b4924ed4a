# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One line on standard error: all that this package may ever cost the application when something of it fails."""

from __future__ import annotations

import os


def log(text: str) -> None:
    """Write to the descriptor itself: `sys.stderr` may be missing or replaced."""
    try:
        os.write(2, f"headroom_redirect: {' '.join(text.split())}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        return  # closed: there is nobody to tell
