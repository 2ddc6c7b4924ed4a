# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Round trips in loops, whole files and downloads in memory, clients without an end to their waiting."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from ansible_collections.smallhost.headroom.plugins.module_utils.code_audit.blocking import (
    blocking_functions,
    own_calls,
    waits_for,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.code_audit.finding import HIGH, MEDIUM, CodeFinding
from ansible_collections.smallhost.headroom.plugins.module_utils.code_audit.source import (
    Module,
    Project,
    dotted,
    resolve_in,
)

_LOOPS = (ast.For, ast.AsyncFor, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
ROUND_TRIPS = {
    **dict.fromkeys(
        (f"{owner}.{call}" for owner in ("sqlalchemy.orm.sessionmaker", "sqlalchemy.orm.Session")
         for call in ("execute", "scalar", "scalars", "get", "query", "refresh")),
        "the database",
    ),
    "rq.job.Job.fetch": "Redis",
    "redis.Redis.": "Redis",
    "rq.Queue.fetch_job": "Redis",
}  # fmt: skip
# Several in one round trip already, or a loop over what the call itself yields.
IN_ONE = ("scan_iter", "hscan_iter", "pipeline", "from_url", "mget", "hgetall")

# Clients that wait longer than a user does unless told otherwise: the keyword, and what they do without it.
CLIENTS = {
    "openai.OpenAI": ("timeout", "10 minutes, and tries twice more"),
    "openai.AsyncOpenAI": ("timeout", "10 minutes, and tries twice more"),
    "anthropic.Anthropic": ("timeout", "10 minutes, and tries twice more"),
    "anthropic.AsyncAnthropic": ("timeout", "10 minutes, and tries twice more"),
    "redis.Redis": ("socket_timeout", "for ever when the other side is gone without a word"),
    "redis.Redis.from_url": ("socket_timeout", "for ever when the other side is gone without a word"),
    "redis.asyncio.Redis": ("socket_timeout", "for ever when the other side is gone without a word"),
    "redis.asyncio.from_url": ("socket_timeout", "for ever when the other side is gone without a word"),
    "psycopg2.connect": ("connect_timeout", "for ever"),
}
_HTTP = ("requests.", "httpx.")


def local_objects(project: Project, module: Module, function: ast.AST) -> dict[str, str]:
    """What names in a function were made by, of `with SessionLocal() as session`: `sqlalchemy.orm.sessionmaker`."""
    found = {}
    for node in ast.walk(function):
        pairs: list[tuple[ast.AST | None, ast.AST]] = []
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            pairs = [(item.optional_vars, item.context_expr) for item in node.items]
        for target, value in pairs:
            value = value.value if isinstance(value, ast.Await) else value
            if isinstance(target, ast.Name) and isinstance(value, ast.Call):
                found[target.id] = resolve_in(project, module, dotted(value.func))
    return found


def called(project: Project, module: Module, local: Mapping[str, str], node: ast.Call) -> str:
    """The full name of what a call calls, names of the function first."""
    written = dotted(node.func)
    first, dot, rest = written.partition(".")
    return local[first] + dot + rest if first in local and rest else resolve_in(project, module, written)


def _functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def round_trips(project: Project) -> list[CodeFinding]:
    """One query, or one call of a service, for each turn of a loop (known as N+1)."""
    known, found = blocking_functions(project), []
    for module in project.modules.values():
        for function in _functions(module):
            local = local_objects(project, module, function)
            for loop in ast.walk(function):
                if not isinstance(loop, _LOOPS):
                    continue
                for node in _each_turn(loop):
                    full = called(project, module, local, node)
                    what = _trip(full) or known.get(full, ("", ""))[0]
                    if what:
                        found.append(_in_loop(module, function.name, node, what))
    return found


def _each_turn(loop: ast.AST) -> Iterator[ast.Call]:
    """Calls that are made once a turn: not what the loop goes over."""
    if isinstance(loop, (ast.For, ast.AsyncFor)):
        parts: list[ast.AST] = list(loop.body)
    elif isinstance(loop, ast.DictComp):
        parts = [loop.key, loop.value]
    else:
        parts = [loop.elt]  # type: ignore[attr-defined]
    for part in parts:
        if isinstance(part, ast.Call):
            yield part
        yield from own_calls(part)


def _trip(full: str) -> str:
    if full.rpartition(".")[2] in IN_ONE:
        return ""
    for beginning, what in ROUND_TRIPS.items():
        if full == beginning or (beginning.endswith(".") and full.startswith(beginning)):
            return what
    return waits_for(full) if full.startswith(_HTTP) else ""


def _in_loop(module: Module, name: str, node: ast.Call, what: str) -> CodeFinding:
    return CodeFinding(
        kind="round_trip_in_loop",
        severity=MEDIUM,
        path=module.path,
        line=node.lineno,
        what=f"{dotted(node.func)}() for each turn of a loop in {name}",
        cost=f"It waits for {what} as often as there are items: with the users, so does the time.",
        remedy="Ask for all at once: a query with IN or a join, a pipeline, many at the same time.",
        item=12,
    )


def whole_files(project: Project) -> list[CodeFinding]:
    """Files and downloads that are in memory as a whole."""
    found = []
    for module in project.modules.values():
        for function in _functions(module):
            local = local_objects(project, module, function)
            for node in ast.walk(function):
                what = _whole(node, local)
                if what:
                    found.append(_in_memory(module, function.name, node, what))
    return found


def _whole(node: ast.AST, local: Mapping[str, str]) -> str:
    """What a node takes into memory, in words; empty for nothing."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        name = node.func.attr
        owner = local.get(dotted(node.func.value), "")
        if name == "read" and not node.args and (owner == "open" or _is_open(node.func.value)):
            return "the file as a whole"
        if name in ("read_bytes", "read_text"):
            return "the file as a whole"
        if name in ("fetchall", "all") and not node.args and isinstance(node.func.value, ast.Call):
            return "all rows of the answer"
    is_content = isinstance(node, ast.Attribute) and node.attr == "content"
    if is_content and local.get(dotted(node.value), "").startswith(_HTTP):  # type: ignore[attr-defined]
        return "the download as a whole"
    return ""


def _is_open(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and dotted(node.func) == "open"


def _in_memory(module: Module, name: str, node: ast.AST, what: str) -> CodeFinding:
    return CodeFinding(
        kind="whole_in_memory",
        severity=MEDIUM,
        path=module.path,
        line=getattr(node, "lineno", 0),
        what=f"{name} holds {what}",
        cost="As many bytes as it is long, for each user at the same time, and copies of them on the way.",
        remedy="Go through it piece by piece: iter_bytes() into a file, read(65536), rows with yield_per or LIMIT.",
        item=11,
    )


def endless_clients(project: Project) -> list[CodeFinding]:
    """Clients that are made without saying how long to wait. Calls of requests and httpx are ruff's (S113)."""
    found = []
    for module in project.modules.values():
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call):
                continue
            keyword, waits = CLIENTS.get(resolve_in(project, module, dotted(node.func)), ("", ""))
            given = {argument.arg for argument in node.keywords}
            if keyword and keyword not in given and None not in given:
                found.append(_endless(module, node, keyword, waits))
    return found


def _endless(module: Module, node: ast.Call, keyword: str, waits: str) -> CodeFinding:
    return CodeFinding(
        kind="no_timeout",
        severity=HIGH if "for ever" in waits else MEDIUM,
        path=module.path,
        line=node.lineno,
        what=f"{dotted(node.func)}() without {keyword}",
        cost=f"It waits {waits}; meanwhile the user, the worker or the connection is held.",
        remedy=f"{keyword}=30, or what the longest good answer takes and half as much again.",
        item=12,
    )
