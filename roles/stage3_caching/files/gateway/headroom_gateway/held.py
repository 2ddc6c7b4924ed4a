# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much of requests and answers all calls together hold in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

HELD_BYTES = 24 * 2**20
"""The role gives the container 96 MB. The process has 28 to begin with; a picture on its way to Redis, 8 MB at most, is
there three times more (as an entry, as a command, in the socket's buffer), but one at a time: 76 in all."""
PIECE_BYTES = 65536
"""What is written at once. A body up to this size is held in any case: the answers of language models are kept also
while pictures take all room."""


class Held:
    """Counts bytes in memory. Nobody waits for room: what finds none is passed on piece by piece, and not kept."""

    def __init__(self, limit: int = HELD_BYTES) -> None:
        self._limit = limit
        self.total = 0

    def full(self, size: int) -> bool:
        """Tell whether a body of `size` bytes, which are counted already, is too much."""
        return size > PIECE_BYTES and self.total > self._limit

    @contextlib.contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Count `size` bytes until the end of the `with` block."""
        self.total += size
        try:
            yield
        finally:
            self.total -= size
