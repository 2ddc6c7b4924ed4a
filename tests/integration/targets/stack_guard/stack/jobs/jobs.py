# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs of the test's RQ worker."""

import time


def quick():
    return 1


def long(seconds):
    time.sleep(seconds)


def fail():
    raise RuntimeError("injected")


def eat(megabytes):
    kept = [b"x" * 5 * 1024**2 for _unused in range(megabytes // 5)]
    return len(kept)
