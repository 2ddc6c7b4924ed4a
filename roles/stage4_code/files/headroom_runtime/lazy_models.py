# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""lazy-models: pydantic models that ask for `defer_build` are built when they are first used, and not before.

pydantic builds a model's validator and serializer when the class is made, or with `defer_build=True` at first use. A
library whose models mention each other calls `model_rebuild()` on all of them once they are all defined; that builds
them all, whatever they asked for, and each with a copy of the models that it can reach. aiogram's three hundred
Telegram types take 100 MB that way, of which a bot uses a few.

Here `model_rebuild(_types_namespace=...)` of such a model only resolves the annotations of its fields, so that
`model_fields` says what it always said, and remembers the namespace. The rest is done at the first validation,
serialization, JSON schema or signature, when another model needs it as a field, or at a rebuild with `force=True`.

Rebuilding goes on at once, as ever, for: models that do not ask for `defer_build`, generic models, annotations that
cannot be resolved, and rebuilds in a function without a namespace of their own (names are then taken from the
function's variables, which are gone later).

Beside that:
- a deferred model builds under a lock (pydantic's own rebuild is not safe under threads);
- `openai.types` and the types of SDKs made by the same generator import the modules that are used (`lazy_types`);
- `aiogram.methods`, whose models do not ask for it, are told to: each is built when the bot first calls the method;
- an instance of a deferred model that no validator made (`model_construct`, unpickling) can be serialized inside an
  untyped field, where pydantic says "'MockValSer' object cannot be converted to 'SchemaSerializer'".

It is applied to every pydantic 2 and was tested with 2.5 to 2.14. It has no options.
"""

from __future__ import annotations

import sys

from headroom_runtime import deferred_model
from headroom_runtime.activation import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType
    from typing import Any


def patch_pydantic(main: ModuleType) -> None:
    """Have `pydantic.main.BaseModel` put off what can be put off. Raises AttributeError in a pydantic not known."""
    from pydantic import VERSION

    if not VERSION.startswith("2."):
        raise RuntimeError(f"pydantic {VERSION} is not known")
    base = main.BaseModel
    if "headroom_original" in vars(base.model_rebuild.__func__):
        return
    parts = deferred_model.Parts(main)
    _patch_mocks(parts)
    _patch_nested_schemas(base, parts)
    _patch_rebuild(base, parts)


def defer_aiogram_methods(module: ModuleType) -> None:
    """Let the models of `aiogram.methods` ask for `defer_build`, unless their base says otherwise."""
    module.TelegramMethod.model_config.setdefault("defer_build", True)


def gather_types(package: ModuleType) -> bool:
    """Let a package of an SDK's types import what is used of it: see `lazy_types`."""
    from headroom_runtime.lazy_types import gather_lazily

    return gather_lazily(package)


def _patch_rebuild(base: Any, parts: deferred_model.Parts) -> None:
    original = base.model_rebuild.__func__

    # The same signature as pydantic's: type checkers of annotations and help() see no difference.
    def model_rebuild(
        cls: Any,
        *,
        force: bool = False,
        raise_errors: bool = True,
        _parent_namespace_depth: int = 2,
        _types_namespace: Mapping[str, Any] | None = None,
    ) -> bool | None:
        # One frame more than pydantic counts: this one.
        depth = _parent_namespace_depth + 1 if _parent_namespace_depth > 0 else _parent_namespace_depth
        known = deferred_model.remembered(cls)
        if not force and known is None:
            try:
                namespace = _types_namespace
                if namespace is None and parts.resolves_by_frame and depth > 0:
                    namespace = _module_namespace(sys._getframe(depth - 2))
                if namespace is not None and parts.postpone(cls, namespace):
                    return True
            except Exception as error:
                say(f"{cls.__qualname__} is built at once", error)
        if known is not None and (not force or _types_namespace is None):
            _types_namespace = known
        with parts.building(cls, _types_namespace):
            if known is not None:
                _complete_shared_part(cls, parts)
            done = original(
                cls,
                force=force,
                raise_errors=raise_errors,
                _parent_namespace_depth=depth,
                _types_namespace=_types_namespace,
            )
        if cls.__pydantic_complete__:
            deferred_model.forget(cls)
        # To the application the model was complete before: "rebuilding was not required".
        return None if done and known is not None and not force else done

    model_rebuild.__doc__ = original.__doc__
    model_rebuild.headroom_original = original  # type: ignore[attr-defined]
    base.model_rebuild = classmethod(model_rebuild)


def _module_namespace(frame: Any) -> Mapping[str, Any] | None:
    return frame.f_globals if frame.f_locals is frame.f_globals else None


def _patch_mocks(parts: deferred_model.Parts) -> None:
    construction = parts.construction
    original = construction.set_model_mocks

    def set_model_mocks(cls: Any, *arguments: Any, **named: Any) -> None:
        original(cls, *arguments, **named)
        try:
            parts.make_lazy(cls)
        except Exception as error:
            say("a deferred model keeps pydantic's own stand-ins", error)

    construction.set_model_mocks = set_model_mocks


def _patch_nested_schemas(base: Any, parts: deferred_model.Parts) -> None:
    """See the model before it becomes part of another one's schema: where pydantic looks for a schema made before."""
    if parts.resolves_by_frame:
        generate = parts.generate_schema
        inner = generate._model_schema

        def _model_schema(self: Any, cls: Any) -> Any:
            _complete_before(cls, parts)
            return inner(self, cls)

        generate._model_schema = _model_schema
        return
    outer = base.__get_pydantic_core_schema__.__func__

    def __get_pydantic_core_schema__(cls: Any, source: Any, handler: Any, /) -> Any:
        _complete_before(cls, parts)
        return outer(cls, source, handler)

    base.__get_pydantic_core_schema__ = classmethod(__get_pydantic_core_schema__)


def _complete_shared_part(cls: Any, parts: deferred_model.Parts) -> None:
    try:
        parts.complete_shared_part(cls)
    except Exception as error:
        say(f"{cls.__qualname__} is built in one piece", error)


def _complete_before(cls: Any, parts: deferred_model.Parts) -> None:
    try:
        parts.complete_for_another(cls)
    except Exception as error:
        say(f"{cls.__qualname__} could not be built before the model that holds it", error)
