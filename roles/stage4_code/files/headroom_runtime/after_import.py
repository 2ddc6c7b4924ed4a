# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calling a function right after a module has been imported, without importing it.

A finder at the head of `sys.meta_path` knows the names that are waited for. For those it lets the other finders find
the module and has its loader call back once the module's code has run; the loader stays the object that it is, so
whoever asks it for the source, for resources or for its type gets the usual answers.
"""

from __future__ import annotations

import sys
from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    Action = Callable[[ModuleType], None]
    Complain = Callable[[str, BaseException], None]
    Instead = Callable[[ModuleType], bool]


class AfterImport:
    """A finder that finds nothing itself."""

    def __init__(self, complain: Complain) -> None:
        self._complain = complain
        self._actions: dict[str, list[Action]] = {}
        self._instead: dict[str, Instead] = {}
        self._looking: set[tuple[int, str]] = set()

    def add(self, name: str, action: Action) -> None:
        """Call the action with the module `name` when it has been imported: at once where it has been already.

        The action must not raise.
        """
        self._actions.setdefault(name, []).append(action)
        module = sys.modules.get(name)
        if module is not None and not _is_loading(module):
            action(module)
        elif self not in sys.meta_path:
            sys.meta_path.insert(0, self)  # type: ignore[arg-type]

    def add_instead(self, name: str, action: Instead) -> None:
        """Call the action in the place of the code of the package `name` and of what is in it.

        Where the action returns False the code is run. The action must not raise.
        """
        self._instead[name] = action
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)  # type: ignore[arg-type]

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Part of the import system's protocol: the spec with a loader that calls back, None for all other modules."""
        if name not in self._actions and ".".join(name.split(".", 2)[:2]) not in self._instead:
            return None
        looking = get_ident(), name
        if looking in self._looking:
            return None  # Another finder of this kind, which this one has asked, asks back.
        self._looking.add(looking)
        try:
            spec = self._find(name, path, target)
        finally:
            self._looking.discard(looking)
        loader = getattr(spec, "loader", None)
        if loader is not None and hasattr(loader, "exec_module"):
            try:
                self._wrap(name, loader)
            except Exception as error:
                self._complain(f"{name} is imported without the features that wait for it", error)
        return spec

    def _find(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    return spec
        return None

    def _wrap(self, name: str, loader: object) -> None:
        execute = loader.exec_module  # type: ignore[attr-defined]
        instead = self._instead.get(".".join(name.split(".", 2)[:2]))

        def exec_module(module: ModuleType) -> None:
            if instead is None or module.__name__ != name or not instead(module):
                execute(module)
            if module.__name__ == name:
                for action in self._actions.get(name, ()):
                    action(module)

        loader.exec_module = exec_module  # type: ignore[attr-defined]


def _is_loading(module: ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))
