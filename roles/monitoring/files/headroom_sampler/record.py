# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a sample is made of, how several become one, and the lines that it is written in.

One line is one thing at one time: `<kind> <seconds since the file's start> <key> <values>`, numbers in the units
that their names end in, `-` for what is not known. A file says itself what its columns are, so readers need no
version table:

    #headroom-samples 1 step=60 start=1795348800
    #c span_ms:sum working_set_kib:max ...
    k 1 c deploy/api/deploy-api-1
    c 60 1 60000 107520 ...
"""

from __future__ import annotations

# kind -> columns with the rule that folds several values into one. Memory keeps its maximum, because a limit has to
# carry the peak and an average would hide it; counters are kept as their growth, so sums survive restarts.
COLUMNS = {
    "c": (  # a container; health: 0 no check, 1 healthy, 2 starting, 3 unhealthy
        ("span_ms", "sum"),
        ("working_set_kib", "max"),
        ("anon_kib", "max"),
        ("shared_kib", "max"),
        ("kernel_kib", "max"),
        ("cache_kib", "max"),
        ("swap_kib", "max"),
        ("limit_kib", "last"),
        ("peak_kib", "max"),
        ("cpu_ms", "sum"),
        ("throttled_ms", "sum"),
        ("waiting_ms", "sum"),
        ("tasks", "max"),
        ("oom_kills", "sum"),
        ("restarts", "sum"),
        ("health", "max"),
    ),
    "h": (  # the host
        ("span_ms", "sum"),
        ("memory_kib", "last"),
        ("used_kib", "max"),
        ("swap_kib", "last"),
        ("swap_used_kib", "max"),
        ("cpu_ms", "sum"),
        ("cpus", "last"),
        ("cpu_waiting_ms", "sum"),
        ("memory_waiting_ms", "sum"),
        ("io_waiting_ms", "sum"),
        ("oom_kills", "sum"),
    ),
    "d": (("size_kib", "last"), ("used_kib", "max")),  # a file system
    "u": (("users_5m", "max"), ("users_1h", "max"), ("users_24h", "max")),  # distinct users
    "s": (  # a service: our own probes, and the requests that it counts itself
        ("span_ms", "sum"),
        ("probes", "sum"),
        ("probe_errors", "sum"),
        ("probe_ms", "sum"),
        ("probe_max_ms", "max"),
        ("requests", "sum"),
        ("errors", "sum"),
        ("request_ms", "sum"),
    ),
}

Values = list  # of int | None, in the order of COLUMNS
Sample = dict  # (kind, key) -> Values


def values(kind: str, known: dict[str, int | None]) -> Values:
    """The values of one thing in the order of its columns."""
    return [known.get(name) for name, _unused in COLUMNS[kind]]


def fold(kind: str, first: Values, second: Values) -> Values:
    """Two values of the same thing as one, the second being the later."""
    folded = []
    for (_unused, rule), before, after in zip(COLUMNS[kind], first, second):
        if before is None or after is None:
            folded.append(before if after is None else after)
        elif rule == "sum":
            folded.append(before + after)
        elif rule == "max":
            folded.append(max(before, after))
        else:
            folded.append(after)
    return folded


class Bucket:
    """Samples folded over `step` seconds."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.start: int | None = None
        self.folded: Sample = {}

    def add(self, now: int, sample: Sample) -> tuple[int, Sample] | None:
        """Fold a sample in; returns (start, folded) of the bucket before, when this one opens a new bucket."""
        start = now - now % self.step
        done = None
        if start != self.start:
            if self.start is not None and self.folded:
                done = (self.start, self.folded)
            self.start, self.folded = start, {}
        for (kind, key), new in sample.items():
            old = self.folded.get((kind, key))
            self.folded[kind, key] = list(new) if old is None else fold(kind, old, new)
        return done


def header(step: int, start: int) -> list[str]:
    """The first lines of a file."""
    lines = [f"#headroom-samples 1 step={step} start={start}"]
    for kind, columns in COLUMNS.items():
        lines.append(f"#{kind} " + " ".join(f"{name}:{rule}" for name, rule in columns))
    return lines


def word(text: str) -> str:
    """The text without white space, `%` and control characters, as %XX, so that it is one word of a line."""
    return "".join(c if "!" <= c <= "~" and c != "%" else "".join(f"%{b:02X}" for b in c.encode()) for c in text) or "%"


def lines(offset: int, sample: Sample, numbers: dict[tuple[str, str], int]) -> list[str]:
    """The sample's lines. `numbers` (of the keys in this file) gets those that are new, each with a line of its own."""
    written = []
    for (kind, key), known in sample.items():
        number = numbers.get((kind, key))
        if number is None:
            number = numbers[kind, key] = len(numbers) + 1
            written.append(f"k {number} {kind} {word(key)}")
        written.append(f"{kind} {offset} {number} " + " ".join("-" if v is None else str(v) for v in known))
    return written
