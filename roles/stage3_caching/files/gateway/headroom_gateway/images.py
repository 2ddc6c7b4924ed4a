# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which images are kept: the least recently used ones go when all together pass their budget."""

from __future__ import annotations

import collections


class Ledger:
    """Sizes of the kept images in bytes, the least recently used first."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._sizes: collections.OrderedDict[bytes, int] = collections.OrderedDict()
        self.total = 0

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, name: bytes, size: int) -> list[bytes]:
        """Note a new image; return those that have to go for it (itself, when it alone is too much)."""
        self.forget(name)
        self._sizes[name] = size
        self.total += size
        leaving = []
        while self.total > self._budget:
            oldest = next(iter(self._sizes))
            leaving.append(oldest)
            self.forget(oldest)
        return leaving

    def size(self, name: bytes) -> int:
        return self._sizes.get(name, 0)

    def used(self, name: bytes) -> None:
        if name in self._sizes:
            self._sizes.move_to_end(name)

    def forget(self, name: bytes) -> None:
        """Take an image off the books: it has run out, was evicted by Redis, or was purged."""
        self.total -= self._sizes.pop(name, 0)

    def names(self, prefix: bytes) -> list[bytes]:
        return [name for name in self._sizes if name.startswith(prefix)]
