# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls that stop the event loop: in an `async def` itself, or in a function of the project that it calls.

ruff's ASYNC rules know calls that stand in the `async def` itself and belong to a few libraries. Here the project's own
functions are followed, and clients that are made once and used everywhere are known by what made them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ansible_collections.smallhost.headroom.plugins.module_utils.code_audit.finding import HIGH, CodeFinding
from ansible_collections.smallhost.headroom.plugins.module_utils.code_audit.source import (
    Module,
    Project,
    dotted,
    resolve_in,
)

# Beginnings of full names whose calls wait for a network, a disk or another process, and what they wait for. Making a
# client costs nothing, so a class of clients stands here with the dot after it.
BLOCKING = {
    "requests.": "an HTTP request",
    "urllib.request.": "an HTTP request",
    "httpx.get": "an HTTP request",
    "httpx.post": "an HTTP request",
    "httpx.request": "an HTTP request",
    "httpx.stream": "an HTTP request",
    "httpx.Client.": "an HTTP request",
    "openai.OpenAI.": "an answer of the model, seconds",
    "anthropic.Anthropic.": "an answer of the model, seconds",
    "deepl.Translator.": "a translation, a tenth of a second and more",
    "deepl.DeepLClient.": "a translation, a tenth of a second and more",
    "fal_client.submit": "a request to Fal",
    "fal_client.run": "a picture, many seconds",
    "fal_client.subscribe": "a picture, many seconds",
    "redis.Redis.": "Redis",
    "redis.StrictRedis.": "Redis",
    "redis.from_url.": "Redis",
    "rq.Queue.": "Redis",
    "sqlalchemy.orm.sessionmaker": "the database",
    "sqlalchemy.orm.Session": "the database",
    "sqlalchemy.create_engine.": "the database",
    "psycopg2.connect": "the database",
    "sqlite3.connect": "the database",
    "pymysql.connect": "the database",
    "time.sleep": "nothing at all",
    "subprocess.run": "another program",
    "subprocess.check_output": "another program",
    "subprocess.check_call": "another program",
    "os.system": "another program",
    "PIL.Image.open": "the disk, and the processor for as long as the picture takes",
}
# Making a client: nothing is waited for yet.
HARMLESS = ("redis.Redis.from_url", "redis.StrictRedis.from_url", "sqlalchemy.orm.sessionmaker.configure")


def waits_for(full: str) -> str:
    """What a call by its full name waits for; empty where it is not known to wait."""
    if full in HARMLESS:
        return ""
    for beginning, what in BLOCKING.items():
        if full == beginning or (full.startswith(beginning) and beginning.endswith(".")):
            return what
    return ""


def own_calls(function: ast.AST) -> Iterator[ast.Call]:
    """The calls that a function makes itself: not those of functions that are defined in it, nor awaited ones."""
    awaited = {id(node.value) for node in ast.walk(function) if isinstance(node, ast.Await)}
    waiting = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            continue
        if isinstance(node, ast.Call) and id(node) not in awaited:
            yield node
        waiting += ast.iter_child_nodes(node)


def blocking_functions(project: Project) -> dict[str, tuple[str, str]]:
    """Plain functions of the project that wait: full name -> (what for, the way there as names)."""
    calls = {
        f"{module.name}.{name}": [resolve_in(project, module, dotted(call.func)) for call in own_calls(function)]
        for module in project.modules.values()
        for name, function in module.functions.items()
        if isinstance(function, ast.FunctionDef)
    }
    found: dict[str, tuple[str, str]] = {}
    grown = True
    while grown:
        grown = False
        for name, called in calls.items():
            if name in found:
                continue
            for full in called:
                what = waits_for(full) or found.get(full, ("", ""))[0]
                if what:
                    way = found[full][1] if full in found else full
                    found[name] = (what, f"{name} > {way}")
                    grown = True
                    break
    return found


def blocking_calls(project: Project) -> list[CodeFinding]:
    """Calls in `async def` functions that stop the event loop."""
    known, found = blocking_functions(project), []
    for module in project.modules.values():
        for name, function in _async_functions(module):
            for call in own_calls(function):
                written = dotted(call.func)
                full = resolve_in(project, module, written)
                what, way = known.get(full, (waits_for(full), full))
                if what:
                    found.append(_finding(module, name, call.lineno, written, what, way))
    return found


def _async_functions(module: Module) -> Iterator[tuple[str, ast.AsyncFunctionDef]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AsyncFunctionDef):
            yield node.name, node


def _finding(module: Module, name: str, line: int, written: str, what: str, way: str) -> CodeFinding:
    return CodeFinding(
        kind="blocking_call",
        severity=HIGH,
        path=module.path,
        line=line,
        what=f"{written}() in async def {name} ({way})",
        cost=f"While it waits for {what}, the process does nothing for any other user.",
        remedy=f"await asyncio.to_thread({written}, ...), or the library's asynchronous client.",
        item=12,
    )
