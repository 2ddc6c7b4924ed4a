# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A project's Python files, and what a name in one of them stands for."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

SKIPPED = {
    ".git",
    ".venv",
    "venv",
    "env",
    "node_modules",
    "__pycache__",
    "site-packages",
    "tests",
    "test",
    "migrations",
}


@dataclass
class Module:
    """One file. `names`: what a name at its top level stands for, as dotted names (`Redis` -> `redis.Redis`).

    `made`: what an object at its top level was made by (`queue` -> `rq.Queue`); `functions`: by qualified name.
    """

    name: str
    path: str
    tree: ast.Module
    names: dict[str, str] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = field(default_factory=dict)


@dataclass
class Project:
    """All modules by name; `broken`: files that could not be parsed, with the reason."""

    root: str
    modules: dict[str, Module]
    broken: dict[str, str]

    def import_statements(self) -> dict[str, list[str]]:
        """By the first part of the module's name, the statements that import something from elsewhere."""
        mine = {name.partition(".")[0] for name in self.modules}
        found: dict[str, set[str]] = {}
        for module in self.modules.values():
            for node in ast.walk(module.tree):
                for name in imported(node):
                    first = name.partition(".")[0]
                    if first not in mine and first != "__future__":
                        # One of several in a line is enough: the others have lists of their own.
                        text = f"import {name}" if isinstance(node, ast.Import) else ast.unparse(node)
                        found.setdefault(first, set()).add(text)
        return {name: sorted(texts) for name, texts in found.items()}

    def top_level_imports(self) -> dict[str, list[tuple[str, int]]]:
        """First parts of the names of modules from elsewhere, with each place (path, line)."""
        mine = {name.partition(".")[0] for name in self.modules}
        found: dict[str, list[tuple[str, int]]] = {}
        for module in self.modules.values():
            for node in ast.walk(module.tree):
                for name in imported(node):
                    first = name.partition(".")[0]
                    if first not in mine and first != "__future__":
                        found.setdefault(first, []).append((module.path, getattr(node, "lineno", 0)))
        return found


def imported(node: ast.AST) -> list[str]:
    """Names of the modules that a statement imports, by absolute name."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level and node.module:
        return [node.module]
    return []


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an expression that is one; empty for all others."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def read_project(root: str) -> Project:
    """Parse all files below a folder, except tests, migrations and what was installed there. Raises OSError."""
    modules, broken = {}, {}
    for path in sorted(_files(root)):
        short = os.path.relpath(path, root)
        with open(path, "rb") as stream:
            text = stream.read()
        try:
            tree = ast.parse(text, filename=short)
        except (SyntaxError, ValueError) as error:
            broken[short] = str(error)
            continue
        name = short[: -len(".py")].replace(os.sep, ".")
        name = name[: -len(".__init__")] if name.endswith(".__init__") else name
        modules[name] = described(Module(name, short, tree))
    return Project(root, modules, broken)


def _files(root: str) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in SKIPPED and not name.startswith(".")]
        yield from (os.path.join(folder, name) for name in names if name.endswith(".py"))


def described(module: Module) -> Module:
    """Fill in what the names of a module stand for."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                module.names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            for alias in node.names:
                module.names[alias.asname or alias.name] = f"{base}.{alias.name}"
    for node in module.tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            module.functions[node.name] = node
        elif isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    module.functions[f"{node.name}.{part.name}"] = part
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    module.made[target.id] = resolve(module, dotted(node.value.func))
    return module


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    is_package = module.path.endswith("__init__.py")
    parts = parts[: len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*parts, *([node.module] if node.module else [])])


def resolve(module: Module, name: str) -> str:
    """A dotted name as the module uses it, in full: `r.get` -> `redis.Redis.get` where `r = redis.Redis()`."""
    first, dot, rest = name.partition(".")
    if first in module.made:
        return module.made[first] + dot + rest
    if first in module.names:
        return module.names[first] + dot + rest
    if first in module.functions or name in module.functions:
        return f"{module.name}.{name}"
    return name


def resolve_in(project: Project, module: Module, name: str) -> str:
    """As `resolve`, through objects that another module of the project has made."""
    full = resolve(module, name)
    for _step in range(5):
        owner, rest = _owner(project, full)
        if owner is None:
            return full
        first, dot, more = rest.partition(".")
        if first in owner.made:
            full = owner.made[first] + dot + more
        elif first in owner.names:
            full = owner.names[first] + dot + more
        else:
            return full
    return full


def _owner(project: Project, full: str) -> tuple[Module | None, str]:
    """The project's module that a full name lies in, and the rest of the name."""
    parts = full.split(".")
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        if name in project.modules:
            return project.modules[name], ".".join(parts[length:])
    return None, full
