# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Print how many users were active in the last HEADROOM_WINDOW_SECONDS (default 300): `... count_users FOLDER`."""

from __future__ import annotations

import os
import sys
import time

from headroom_runtime.service_counters import active_users


def main() -> int:
    """A folder without records has had no users yet; a wrong call ends with 2."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python3 -m headroom_runtime.count_users FOLDER\n")
        return 2
    try:
        with open(os.path.join(sys.argv[1], "seen"), "rb") as stream:
            records = stream.read()
    except FileNotFoundError:
        records = b""
    since = int(time.time()) - int(os.environ.get("HEADROOM_WINDOW_SECONDS", "300"))
    sys.stdout.write(f"{active_users(records, since)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
