# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Doing something to a module at the moment when somebody imports it."""

from __future__ import annotations

import sys
from _thread import get_ident

from headroom_redirect.complaint import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    Action = Callable[[ModuleType], None]


def when_imported(actions: Mapping[str, Action]) -> None:
    """Call each action with its module: at once where that is loaded, else right after it has been.

    An action that fails leaves one line on standard error; the import goes on.
    """
    waiting = {}
    for name, action in actions.items():
        module = sys.modules.get(name)
        if module is None:
            waiting[name] = action
        else:
            _try(action, module)
    if waiting:
        sys.meta_path.insert(0, _Finder(waiting))  # type: ignore[arg-type]


def _try(action: Action, module: ModuleType) -> None:
    try:
        action(module)
    except Exception as error:
        log(f"{module.__name__} goes past the gateway: {error!r}")


class _Finder:
    """Lets the other finders find a module, and has the action follow its loading."""

    def __init__(self, actions: dict[str, Action]) -> None:
        self._actions = actions
        # (thread, module) of searches under way: another finder of this kind asks all others in turn, this one too.
        self._searching: set[tuple[int, str]] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        action = self._actions.get(name)
        search = (get_ident(), name)
        if action is None or search in self._searching:
            return None
        self._searching.add(search)
        try:
            spec = self._ask_others(name, path, target)
        finally:
            self._searching.discard(search)
        if spec is not None:
            _follow(spec, action)
        return spec

    def _ask_others(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find else None
            if spec is not None:
                return spec
        return None


def _follow(spec: ModuleSpec, action: Action) -> None:
    """Change this one loader in place: a loader of another class would hide what tools look for in the real one."""
    loader = spec.loader
    execute = getattr(loader, "exec_module", None)
    if loader is None or execute is None:
        return

    def exec_module(module: ModuleType) -> None:
        execute(module)
        # Some loaders (zipimporter) serve several modules.
        if module.__name__ == spec.name:
            _try(action, module)

    try:
        loader.exec_module = exec_module  # type: ignore[method-assign]
    except AttributeError as error:
        log(f"{spec.name} goes past the gateway: {error!r}")
