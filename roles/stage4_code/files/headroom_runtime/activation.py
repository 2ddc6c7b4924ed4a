# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Switching features on, so that nothing that goes wrong here reaches the application."""

from __future__ import annotations

import os
import sys

from headroom_runtime.after_import import AfterImport
from headroom_runtime.features import FEATURES, parse, typed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

active: dict[str, dict[str, object]] = {}
"""The features that are switched on, with their options."""

_said: set[str] = set()


def say(what: str, error: BaseException | None = None) -> None:
    """One line on standard error, once for each text; never an error of its own."""
    text = what if error is None else f"{what}: {type(error).__name__}: {error}"
    text = "headroom_runtime: " + " ".join(text.split())
    if text in _said:
        return
    _said.add(text)
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except Exception:  # noqa: S110 - a closed standard error is no reason to fail
        pass


imports = AfterImport(say)


def activate_from_environment(variable: str) -> None:
    """Switch on what the variable names."""
    try:
        for feature, options in parse(os.environ.get(variable, "")).items():
            activate(feature, options)
    except Exception as error:
        say(f"{variable} not applied", error)


def activate(feature: str, options: dict[str, str] | None = None) -> None:
    """Switch one feature on."""
    try:
        active[feature] = typed(feature, options or {})
        for library, function in FEATURES[feature].after.items():
            imports.add(library, _action(feature, function))
        for package, function in FEATURES[feature].instead.items():
            imports.add_instead(package, _instead(feature, function))
    except Exception as error:
        say(f"{feature} not applied", error)


def _action(feature: str, function: str) -> Callable[[ModuleType], None]:
    def act(library: ModuleType) -> None:
        try:
            _function(feature, function)(library, **active[feature])
        except Exception as error:
            say(f"{feature} not applied to {library.__name__}", error)

    return act


def _instead(feature: str, function: str) -> Callable[[ModuleType], bool]:
    def act(package: ModuleType) -> bool:
        try:
            return bool(_function(feature, function)(package, **active[feature]))
        except Exception as error:
            say(f"{feature} not applied to {package.__name__}", error)
            return False

    return act


def _function(feature: str, function: str) -> Callable[..., object]:
    __import__(FEATURES[feature].module)
    found: Callable[..., object] = getattr(sys.modules[FEATURES[feature].module], function)
    return found
