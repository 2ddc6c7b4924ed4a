# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages that only gather names import a submodule when its name is first asked for: part of `lazy-models`.

`openai.types` and its like (SDKs made by the same generator) import several hundred modules of models, of which an
application uses a dozen. Their `__init__.py` holds nothing but `from .module import Name as Name`. Such a file is not
run; the package answers for each name when it is asked (PEP 562). A file that holds anything else is run as ever.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


def gathered_names(source: str) -> dict[str, tuple[str, str]] | None:
    """name -> (relative module, name there), of a file that does nothing but import; None for all others."""
    import ast

    found: dict[str, tuple[str, str]] = {}
    for number, node in enumerate(ast.parse(source).body):
        if number == 0 and isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str):
            continue
        if not isinstance(node, ast.ImportFrom):
            return None
        if not node.module or not (node.level or node.module == "__future__"):
            return None
        for alias in node.names:
            if alias.name == "*":
                return None
            found[alias.asname or alias.name] = ("." * node.level + node.module, alias.name)
    return found or None


def gather_lazily(package: ModuleType) -> bool:
    """Let the package answer for its names; False, with nothing done, where its code does more than gather them."""
    loader: Any = package.__loader__
    source: str = loader.get_source(package.__name__) if hasattr(package, "__path__") else ""
    names = gathered_names(source or "")
    if names is None:
        return False
    import ast

    package.__doc__ = ast.get_docstring(ast.parse(source), clean=False)
    _answer(package, names)
    return True


def _answer(package: Any, names: dict[str, tuple[str, str]]) -> None:
    from importlib import import_module

    def __getattr__(name: str) -> Any:
        if name in names:
            module, inner = names[name]
            value = getattr(import_module(module, package.__name__), inner)
            setattr(package, name, value)
            return value
        inner = f"{package.__name__}.{name}"
        try:
            if not name.startswith("__"):
                return import_module(inner)  # A submodule that running the file would have brought along.
        except ModuleNotFoundError as error:
            if error.name != inner:
                raise
        raise AttributeError(f"module {package.__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*vars(package), *names})

    package.__getattr__, package.__dir__ = __getattr__, __dir__
    # A star import asks for these, and for what is there already where there are none.
    package.__all__ = [name for name in names if not name.startswith("_")]
