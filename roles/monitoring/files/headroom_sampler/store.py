# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recorded samples on disk: a fine, a middle and a coarse tier, each in files that are only appended to.

Nothing is ever rewritten, so a kill at any moment costs the line that was being written at most: a file that does not
end in a newline is cut back to its last one before anything is appended. What falls out of a finer tier stands in the
coarser ones already. Files are dropped by their number, not their age, so that a clock that jumps cannot empty the
store.
"""

from __future__ import annotations

import posix

from headroom_sampler import record
from headroom_sampler.files import content, exists

TYPE_CHECKING = False
if TYPE_CHECKING:  # The import would take 0.4 MB.
    from collections.abc import Iterator

HOUR, DAY = 3600, 86400

# (seconds a line, seconds a file, files kept): at least 12 hours, 2 days and 14 days. The first step is the sampler's.
TIERS = ((15, 3 * HOUR, 5), (60, 12 * HOUR, 5), (600, 2 * DAY, 8))


class Tier:
    """One resolution: the file that is being written, and those before it."""

    def __init__(self, folder: str, step: int, span: int, keep: int) -> None:
        self.step = step
        self._folder, self._span, self._keep = folder, span, keep
        self._start: int | None = None
        self._numbers: dict[tuple[str, str], int] = {}

    def path(self, now: int) -> str:
        """The file that a line of this time belongs to."""
        return f"{self._folder}/{self.step:04d}-{now - now % self._span:012d}.samples"

    def files(self) -> list[str]:
        """Paths of this tier's files, oldest first."""
        prefix = f"{self.step:04d}-"
        names = [n for n in posix.listdir(self._folder) if n.startswith(prefix) and n.endswith(".samples")]
        return [f"{self._folder}/{name}" for name in sorted(names)]

    def append(self, now: int, sample: record.Sample) -> bool:
        """Write a sample; True when that began a file. Raises OSError where it could not be written whole."""
        start, path = now - now % self._span, self.path(now)
        if start != self._start:
            self._numbers, self._start = open_end(path), start
        handle = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_CLOEXEC, 0o640)
        try:
            size = posix.fstat(handle).st_size
            numbers = dict(self._numbers) if size else {}
            text = [] if size else record.header(self.step, start)
            append_whole(handle, size, text + record.lines(now - start, sample, numbers))
        finally:
            posix.close(handle)
        self._numbers = numbers
        if not size:
            self.prune(now)
        return not size

    def prune(self, now: int) -> None:
        """Drop the files past the number kept: those from a clock that ran ahead first, then the oldest."""
        files = self.files()
        ahead = self.path(now + DAY)
        files.sort(key=lambda path: (path <= ahead, path))
        for path in files[: max(0, len(files) - self._keep)]:
            posix.unlink(path)


def append_whole(handle: int, size: int, lines: list[str]) -> None:
    """Append all of the lines to a file of `size` bytes, or none of them. Raises OSError."""
    whole = ("\n".join(lines) + "\n").encode("ascii")
    try:
        if posix.write(handle, whole) != len(whole):
            raise OSError(28, "the file system took only a part of the sample")
    except OSError:
        posix.ftruncate(handle, size)
        raise


def open_end(path: str) -> dict[tuple[str, str], int]:
    """Make the file end in a whole line, and return the numbers that its keys have."""
    text = content(path)
    whole = text.rfind(b"\n") + 1
    if whole != len(text):
        posix.truncate(path, whole)
    numbers = {}
    for line in each_line(text):
        if line.startswith("k "):
            _unused, number, kind, key = line.split(" ", 3)
            numbers[kind, unword(key)] = int(number)
    return numbers


def each_line(text: bytes) -> Iterator[str]:
    """The whole lines of a file, one at a time: a list of them would take several times the file's size."""
    start = 0
    while True:
        end = text.find(b"\n", start)
        if end < 0:
            return
        yield text[start:end].decode("ascii", "replace")
        start = end + 1


def unword(text: str) -> str:
    """What record.word made one word of."""
    if "%" not in text:
        return text
    first, *rest = text.split("%")
    raw = first.encode("ascii", "replace")
    for part in rest:
        raw += (bytes([int(part[:2], 16)]) if part[:2] else b"") + part[2:].encode("ascii", "replace")
    return raw.decode("utf-8", "replace")


class Store:
    """All tiers. A sample is added once; coarser tiers are written whenever one of their steps is over."""

    def __init__(self, folder: str, step: int, most_bytes: int) -> None:
        if not exists(folder):
            posix.mkdir(folder, 0o750)
        self._folder, self._most = folder, most_bytes
        (_unused, span, keep), *coarser = TIERS
        self._fine = Tier(folder, step, span, keep)
        self._coarse = [(Tier(folder, *tier), record.Bucket(tier[0])) for tier in coarser if tier[0] > step]
        self.errors = 0

    def resume(self, now: int) -> None:
        """Take up again the steps that were under way when the sampler was ended, however long ago that was.

        The finest tier's last lines tell: of what they say the buckets keep the last step, those before it are written.
        """
        for path in self._fine.files()[-2:]:
            for at, sample in samples(content(path), 0):
                for _unused, bucket in self._coarse:
                    if at <= now:
                        bucket.add(at, sample)

    def add(self, now: int, sample: record.Sample) -> None:
        """Record a sample taken at `now` (seconds since the epoch). A full disk is counted, never raised."""
        self._write(self._fine, (now, sample))
        for tier, bucket in self._coarse:
            self._write(tier, bucket.add(now, sample))

    def _write(self, tier: Tier, done: tuple[int, record.Sample] | None) -> None:
        if done is None:
            return
        try:
            if tier.append(*done):
                self._keep_small()
        except OSError:
            self.errors += 1

    def _keep_small(self) -> None:
        """Drop the oldest files of the finest tier that has more than one, while all are larger than allowed."""
        sizes = {entry.path: entry.stat().st_size for entry in posix.scandir(self._folder)}
        if sum(sizes.values()) <= self._most:
            return
        for tier in [self._fine, *(tier for tier, _unused in self._coarse)]:
            for path in tier.files()[:-1]:
                posix.unlink(path)
                sizes.pop(path, None)
                if sum(sizes.values()) <= self._most:
                    return


def samples(text: bytes, since: int) -> Iterator[tuple[int, record.Sample]]:
    """What one of our own files holds from `since` on, as (time, one thing's values). Damaged lines are passed over."""
    start, keys = 0, {}
    for line in each_line(text):
        words = line.split(" ")
        try:
            if line.startswith("#headroom-samples"):
                start = int(line.rpartition("start=")[2])
            elif words[0] == "k":
                keys[words[1]] = (words[2], unword(words[3]))
            elif words[0] in record.COLUMNS and start + int(words[1]) >= since:
                known = [None if word == "-" else int(word) for word in words[3:]]
                if len(known) == len(record.COLUMNS[words[0]]):
                    yield start + int(words[1]), {keys[words[2]]: known}
        except (ValueError, KeyError, IndexError):
            continue
