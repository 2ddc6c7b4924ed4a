# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Job queues recognised by their keys, and what an eviction policy would do to them.

A few keys that every library always has are asked for by name; then a bounded SCAN (never KEYS) counts. Where another
program could have chosen the same name, the key's type, or what it holds, decides.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

SCAN_KEYS = 50_000  # keys looked at over all databases
SCAN_SECONDS = 3.0
_SCAN_STEP = 1000
_TTL_SAMPLE = 200  # keys of one library asked whether they expire
_NAMED = 5  # keys named as evidence

# With these a worker waits for the next job (BullMQ: BZPOPMIN; kombu, Sidekiq: BRPOP; RQ: BLMOVE; older Bull:
# BRPOPLPUSH). Asked for where not all keys could be looked at: BullMQ's and Celery's may have any name.
_WAITING = ("blpop", "brpop", "brpoplpush", "blmove", "blmpop", "bzpopmin", "bzpopmax", "bzmpop")

SAFE_POLICY = "noeviction"
POLICIES = (
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-lrm",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-lrm",
    "volatile-random",
    "volatile-ttl",
)


class Library(NamedTuple):
    """A queue library. `keys` maps a pattern of key names to the types such a key has; `expiring` says what of its
    working state carries a TTL and is lost to `volatile-*`, or is None where nothing does."""

    name: str
    probes: tuple[tuple[str, str], ...]  # a key that it always has, and its type
    keys: tuple[tuple[str, frozenset[str]], ...]
    expiring: str | None
    unmistakable: bool = True  # the names alone say whose they are


def _types(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Names and TTLs from the libraries' sources: rq 3.0 (worker/base.py heartbeat, scheduler.py acquire_locks),
# kombu 5.6 (transport/redis.py) and celery 5.7, arq 0.28 (constants.py, connections.py psetex), dramatiq 2.2
# (brokers/redis/dispatch.lua: no key expires), bullmq 5 (scripts/*.lua), sidekiq 7 (launcher.rb heartbeat).
LIBRARIES = (
    Library(
        "RQ",
        (("rq:queues", "set"), ("rq:workers", "set")),
        (
            (r"rq:queues$", _types("set")),
            (r"rq:queue:", _types("list set")),
            (r"rq:job:", _types("hash")),
            (r"rq:workers(:|$)", _types("set")),
            (r"rq:worker:", _types("hash")),
            (r"rq:(wip|finished|failed|deferred|scheduled|canceled|scheduler|results|execution)", _types("")),
            (r"rq:(ready|registry|clean_registries|clean_groups|groups?|suspended|cron_)", _types("")),
        ),
        "worker registrations (their heartbeat expires), the scheduler's lock and finished jobs' results",
    ),
    Library(
        "Celery",
        (("unacked", "hash"), ("unacked_index", "zset"), ("_kombu.binding.celery", "set")),
        (
            (r"_kombu\.binding\.", _types("set")),
            (r"unacked$", _types("hash")),
            (r"unacked_index$", _types("zset")),
            (r"celery$", _types("list")),
            (r"celery-task-meta-", _types("string")),
        ),
        "task results (celery-task-meta-*) and locks of the beat scheduler",
    ),
    Library(
        "arq",
        (("arq:queue", "zset"),),
        (
            (r"arq:queue(:|$)", _types("zset string")),
            (r"arq:(job|in-progress|retry|result):", _types("string")),
            (r"arq:abort$", _types("zset")),
        ),
        "the jobs themselves (arq:job:* is stored with an expiry)",
    ),
    Library(
        "Dramatiq",
        (("dramatiq:__heartbeats__", "zset"),),
        (
            (r"dramatiq:__(heartbeats|acks)__", _types("zset set")),
            (r"dramatiq:[^:]+\.msgs$", _types("hash")),
            (r"dramatiq:[^:]+(\.DQ|\.XQ)?$", _types("list zset")),
        ),
        None,
    ),
    Library(
        "BullMQ",
        (),
        (
            (r"[^:]+:[^:]+:(wait|paused|active)$", _types("list")),
            (r"[^:]+:[^:]+:(delayed|prioritized|completed|failed|stalled|repeat)$", _types("zset set")),
            (r"[^:]+:[^:]+:(id|events)$", _types("string stream")),
            (r"[^:]+:[^:]+:[\w.-]+$", _types("hash")),
        ),
        "the locks of jobs being worked on (they would run twice)",
    ),
    Library(
        "Sidekiq",
        (("queues", "set"),),
        (
            (r"([^:]+:)?queues$", _types("set")),
            (r"([^:]+:)?queue:[^:]+$", _types("list")),
            (r"([^:]+:)?(schedule|retry|dead)$", _types("zset")),
            (r"([^:]+:)?processes$", _types("set")),
        ),
        "the processes' heartbeats and the locks of unique jobs",
        unmistakable=False,
    ),
)  # fmt: skip
_PATTERNS = [(library, re.compile(pattern), types) for library in LIBRARIES for pattern, types in library.keys]


class KeySource(Protocol):
    """What is needed of a server: one command, several at once, and how many keys each database holds."""

    def run(self, *words: Any) -> Any: ...

    def run_all(self, commands: Sequence[Sequence[Any]]) -> list[Any]: ...

    def keyspace(self) -> dict[int, int]: ...


@dataclass
class Found:
    """One library's keys in one database."""

    library: Library
    database: int
    keys: int = 0
    expiring: int = 0
    waiting: int = 0
    evidence: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a module's result."""
        return {
            "library": self.library.name,
            "database": self.database,
            "keys": self.keys,
            "keys_with_ttl": self.expiring,
            "waiting_jobs": self.waiting,
            "evidence": self.evidence,
        }


@dataclass
class Contents:
    """What a server holds, as far as it was looked at. `complete`: every key was seen; `waiting_by`: see _WAITING."""

    found: list[Found] = field(default_factory=list)
    keys: int = 0
    looked_at: int = 0
    complete: bool = True
    waiting_by: list[str] = field(default_factory=list)

    @property
    def purpose(self) -> str:
        """queue, cache, mixed (both), or empty."""
        if not self.keys:
            return "empty"
        if not self.found:
            return "cache"
        ours = sum(one.keys for one in self.found)
        return "mixed" if self.looked_at > ours else "queue"

    @property
    def summary(self) -> str:
        """`RQ (320 keys, 300 waiting jobs in database 0)`, one after the other."""
        return ", ".join(
            f"{one.library.name} ({one.keys} keys, {one.waiting} waiting jobs in database {one.database})"
            for one in self.found
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a module's result."""
        return {
            "purpose": self.purpose,
            "queues": [one.as_dict() for one in self.found],
            "keys": self.keys,
            "keys_looked_at": self.looked_at,
            "complete": self.complete,
        }


def look(source: KeySource, keys: int = SCAN_KEYS, seconds: float = SCAN_SECONDS) -> Contents:
    """Look through all databases that hold keys, within a budget of keys and seconds. Leaves database 0 selected.

    Raises what `source` raises, for example where the user may not SCAN.
    """
    end = time.monotonic() + seconds
    contents = Contents()
    spaces = sorted(source.keyspace().items())
    contents.keys = sum(count for _database, count in spaces)
    try:
        for index, (database, _count) in enumerate(spaces):
            source.run("SELECT", database)
            budget = max(_SCAN_STEP, (keys - contents.looked_at) // (len(spaces) - index))
            deadline = time.monotonic() + max(0.1, (end - time.monotonic()) / (len(spaces) - index))
            names, complete = _scan(source, budget, deadline)
            contents.looked_at += len(names)
            contents.complete = contents.complete and complete
            contents.found += _recognise(source, database, names)
    finally:
        if spaces and spaces != [(0, spaces[0][1])]:
            source.run("SELECT", 0)
    if not contents.complete and not contents.found:
        called = re.findall(r"cmdstat_(\w+)", str(source.run("INFO", "commandstats")))
        contents.waiting_by = [name.upper() for name in _WAITING if name in called]
    return contents


def _scan(source: KeySource, budget: int, deadline: float) -> tuple[set[str], bool]:
    names: set[str] = set()
    cursor: Any = 0
    while True:
        cursor, page = source.run("SCAN", cursor, "COUNT", _SCAN_STEP)
        names.update(page)
        if int(cursor) == 0:
            return names, True
        if len(names) >= budget or time.monotonic() >= deadline:
            return names, False


def _recognise(source: KeySource, database: int, names: set[str]) -> list[Found]:
    probes = [(library, key) for library in LIBRARIES for key, _type in library.probes]
    named = [
        key for (library, key), there in zip(probes, _answers(source, "EXISTS", [key for _l, key in probes])) if there
    ]
    candidates = [name for name in {*names, *named} if any(pattern.match(name) for _l, pattern, _t in _PATTERNS)]
    types = dict(zip(candidates, _answers(source, "TYPE", candidates)))
    matched: dict[str, list[str]] = {}
    for name in sorted(candidates):
        for library, pattern, allowed in _PATTERNS:
            if pattern.match(name) and (not allowed or types[name] in allowed):
                matched.setdefault(library.name, []).append(name)
                break
    found = []
    for library in LIBRARIES:
        mine = matched.get(library.name, [])
        if mine and _CONFIRM.get(library.name, _always)(source, mine, types):
            found.append(_count(source, library, database, mine, types))
    return found


def _answers(source: KeySource, command: str, names: Sequence[str], *more: Any) -> list[Any]:
    answers = source.run_all([(command, name, *more) for name in names])
    return [None if isinstance(answer, Exception) else answer for answer in answers]


def _count(source: KeySource, library: Library, database: int, mine: list[str], types: dict[str, str]) -> Found:
    sample = mine[:: max(1, len(mine) // _TTL_SAMPLE)]
    expiring = sum(1 for ttl in _answers(source, "TTL", sample) if isinstance(ttl, int) and ttl >= 0)
    waiting = 0
    for command, kind in (("LLEN", "list"), ("ZCARD", "zset")):
        queues = [name for name in mine if types[name] == kind and _holds_jobs(library.name, name)]
        waiting += sum(length or 0 for length in _answers(source, command, queues))
    spread = round(expiring * len(mine) / len(sample)) if sample else 0
    return Found(library, database, len(mine), spread, waiting, _evidence(mine))


def _evidence(names: list[str]) -> list[str]:
    """A few names, of different kinds first: ids and counters in them set aside."""
    kinds: dict[str, str] = {}
    for name in names:
        kinds.setdefault(re.sub(r"[0-9a-f-]{6,}|\d+", "*", name), name)
    return sorted(kinds.values())[:_NAMED]


def _holds_jobs(library: str, name: str) -> bool:
    patterns = {
        "RQ": r"rq:queue:",
        "Celery": r"(?!unacked)",
        "arq": r"arq:queue",
        "Dramatiq": r"dramatiq:[^:_]+(\.DQ)?$",
        "BullMQ": r".*:(wait|paused|delayed|prioritized)$",
        "Sidekiq": r"([^:]+:)?(queue:|schedule$|retry$)",
    }
    return bool(re.match(patterns[library], name))


# Confirmation, where the names could be somebody else's


def _always(source: KeySource, names: list[str], types: dict[str, str]) -> bool:
    return True


def _celery_confirmed(source: KeySource, names: list[str], types: dict[str, str]) -> bool:
    """`celery` and `unacked` are plain words: a binding or a result says more, else a message in the list must."""
    if any(name.startswith(("_kombu.", "celery-task-meta-")) for name in names):
        return True
    lists = [name for name in names if types[name] == "list"]
    return any(_json_has(text, "body", "properties") for text in _answers(source, "LINDEX", lists, 0)) or (
        "unacked" in names and "unacked_index" in names
    )


def _bullmq_confirmed(source: KeySource, names: list[str], types: dict[str, str]) -> bool:
    """Any prefix is possible: the queue's own `meta` hash has an option or version field that nobody else writes."""
    metas = [name for name in names if name.endswith(":meta") and types[name] == "hash"]
    own = [
        name
        for name, fields in zip(metas, _answers(source, "HMGET", metas, "opts.maxLenEvents", "version"))
        if fields and (fields[0] is not None or str(fields[1] or "").startswith("bullmq"))
    ]
    prefixes = tuple(name[: -len("meta")] for name in own)
    if not prefixes:  # an older Bull has no such field: its well-known prefix with an id counter and a list will do
        kinds = {name.rsplit(":", 1)[-1] for name in names if name.startswith("bull:")}
        if not ("id" in kinds and kinds & {"wait", "active", "completed", "failed"}):
            return False
        prefixes = ("bull:",)
    names[:] = [name for name in names if name.startswith(prefixes)]
    return True


def _sidekiq_confirmed(source: KeySource, names: list[str], types: dict[str, str]) -> bool:
    """`queues` is a plain word: a waiting, scheduled or dead job with a `jid` and a `class` says more."""
    lists = [name for name in names if types[name] == "list"]
    if any(_json_has(text, "jid", "class") for text in _answers(source, "LINDEX", lists, 0)):
        return True
    sets = [name for name in names if types[name] == "zset"]
    members = [page[0] for page in _answers(source, "ZRANGE", sets, 0, 0) if page]
    return any(_json_has(text, "jid", "class") for text in members)


_CONFIRM: dict[str, Callable[[KeySource, list[str], dict[str, str]], bool]] = {
    "Celery": _celery_confirmed,
    "BullMQ": _bullmq_confirmed,
    "Sidekiq": _sidekiq_confirmed,
}


def _json_has(text: Any, *names: str) -> bool:
    try:
        data = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return False
    return isinstance(data, dict) and all(name in data for name in names)


# Judging a policy


def judge(policy: str, purpose: str, contents: Contents | None) -> tuple[str | None, list[str]]:
    """Whether the policy may lose what the server holds: (reason for refusing or None, warnings).

    `purpose` is the operator's word (auto, queue, cache, mixed); `contents` is None where the keys cannot be seen.
    """
    if policy == SAFE_POLICY:
        return None, []
    advice = "Use noeviction here, and a second instance with allkeys-lfu for the cache (about 3 MB when empty)."
    if contents is None:
        if purpose == "cache":
            return None, []
        return (
            f"{policy} may evict jobs, and this user cannot look at the keys. Say purpose: cache if there are none.",
            [],
        )
    if contents.found:
        lost = [loss for one in contents.found for loss in [_loss(policy, one.library)] if loss]
        if lost:
            return f"{policy} would evict {'; '.join(lost)}. This server holds {contents.summary}. {advice}", []
        return None, [f"{policy} on a server that holds {contents.summary}: a job stored with a TTL would be evicted."]
    if purpose in ("queue", "mixed"):
        return f"{policy} evicts keys, and this server is said to be for {purpose}. {advice}", []
    if not contents.complete and purpose == "auto" and contents.waiting_by:
        by = ", ".join(contents.waiting_by)
        return (
            f"{policy} may evict jobs: clients wait for keys ({by}) as a queue's workers do, and only "
            f"{contents.looked_at} of {contents.keys} keys were seen. {advice} Say purpose: cache if there is none.",
            [],
        )
    if not contents.complete and purpose == "auto":
        return None, [
            f"{contents.looked_at} of {contents.keys} keys were looked at, and none belongs to a queue: "
            "purpose: cache says that this is so for all."
        ]
    return None, []


def _loss(policy: str, library: Library) -> str | None:
    if policy.startswith("allkeys-"):
        return f"{library.name}'s jobs and queues"
    return f"{library.name}'s {library.expiring}" if library.expiring else None
