# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds memory close to the container's limit, and writes and reads a file whose pages then find no room."""

import os
import sys
import time

held = bytearray(int(sys.argv[1]) * 1024**2)
held[::4096] = b"x" * len(held[::4096])
end = time.monotonic() + 60
while time.monotonic() < end:
    with open("/tmp/large", "wb+") as stream:
        for _unused in range(40):
            stream.write(b"x" * 1024**2)
        stream.flush()
        os.fsync(stream.fileno())
        stream.seek(0)
        while stream.read(1024**2):
            time.sleep(0.005)
