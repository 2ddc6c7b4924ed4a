# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A sampler small enough to stay on a small host: memory and health of every container, written down every few seconds.

It runs as `python3 -I -S -B` on the target's own Python (3.9 to 3.14) and imports as little as it can, because the
interpreter alone takes most of the 10 MB that it may hold: `re`, `json`, `socket` and `subprocess` would take
another 3 MB, so the C modules under them are used directly, or a child that lives for a moment.
"""
