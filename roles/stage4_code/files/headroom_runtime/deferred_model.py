# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a postponed model remembers, and how it is completed: the machinery of `lazy_models`."""

from __future__ import annotations

import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import ModuleType
    from typing import Any

NAMESPACE = "__headroom_namespace__"
LOCK_SECONDS = 10.0
"""A build that waits longer for another thread's goes ahead, as it would without the lock: two threads that wait for
each other (one of them for an import) must not wait for ever."""

SHARED = 3
"""Fields of one model that hold the same other model: worth building that one by itself."""
DEEPEST = 10
"""Builds within builds; a model that is met deeper down becomes part of the one that holds it."""


def same_names(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two namespaces give the same object for every name."""
    if one is other:
        return True
    return len(one) == len(other) and all(name in other and other[name] is value for name, value in one.items())


def models_in(annotation: Any) -> Iterable[Any]:
    """The classes that an annotation mentions, once each."""
    found: set[Any] = set()
    left = [annotation]
    while left:
        one = left.pop()
        inner = getattr(one, "__args__", ())
        if inner:
            left.extend(inner)
        elif isinstance(one, type):
            found.add(one)
    return found


def most_common(models: list[Any]) -> Any:
    """The model that is there most often, at least SHARED times; None where there is none."""
    counts: dict[Any, int] = {}
    for model in models:
        if NAMESPACE in vars(model):
            counts[model] = counts.get(model, 0) + 1
    best = max(counts, key=lambda model: counts[model], default=None)
    return best if best is not None and counts[best] >= SHARED else None


def remembered(cls: Any) -> Mapping[str, Any] | None:
    """The namespace of a model whose rebuild was put off, None for all others."""
    return cls.__dict__.get(NAMESPACE)


def forget(cls: Any) -> None:
    """The model is complete: its namespace is not needed again."""
    if NAMESPACE in cls.__dict__:
        delattr(cls, NAMESPACE)


class _Building(threading.local):
    """What this thread is building, the innermost last."""

    def __init__(self) -> None:
        self.classes: list[Any] = []
        self.namespaces: list[Mapping[str, Any] | None] = []


class _Alone:
    """A context that one thread at a time is in."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self._locked = False

    def __enter__(self) -> None:
        self._locked = self._lock.acquire(timeout=LOCK_SECONDS)

    def __exit__(self, *_unused: object) -> None:
        if self._locked:
            self._lock.release()


class _Build(_Alone):
    """A context in which this thread builds one model."""

    def __init__(self, lock: Any, current: _Building, cls: Any, namespace: Mapping[str, Any] | None) -> None:
        super().__init__(lock)
        self._current = current
        self._what = cls, namespace

    def __enter__(self) -> None:
        super().__enter__()
        self._current.classes.append(self._what[0])
        self._current.namespaces.append(self._what[1])

    def __exit__(self, *_unused: object) -> None:
        self._current.classes.pop()
        self._current.namespaces.pop()
        super().__exit__()


class Parts:
    """The parts of one pydantic that are used here. Raises AttributeError where one of them is missing."""

    def __init__(self, main: ModuleType) -> None:
        from pydantic._internal import _config, _decorators, _fields, _generate_schema, _generics, _mock_val_ser

        self.construction: Any = sys.modules["pydantic._internal._model_construction"]
        self.generate_schema: Any = _generate_schema.GenerateSchema
        self.mock: Any = _mock_val_ser.MockValSer
        self.lock = threading.RLock()
        self.current = _Building()
        self._base = main.BaseModel
        self._config = _config.ConfigWrapper
        self._decorators = _decorators.DecoratorInfos
        self._typevars_map = _generics.get_model_typevars_map
        self._holds_name = _unresolved(_generics)
        self._unpack = self.construction.unpack_lenient_weakvaluedict
        self._rebuild_fields: Any = getattr(_fields, "rebuild_model_fields", None)  # pydantic 2.11 and later
        self._resolver: Any = getattr(
            sys.modules.get("pydantic._internal._namespace_utils"), "NsResolver", None
        )  # 2.10
        self.resolves_by_frame = self._rebuild_fields is not None
        self._fields_only: Any = _fields_only(self.generate_schema) if self._rebuild_fields is None else None
        self._last: Mapping[str, Any] = {}
        self._lazy = _lazy_stand_in(self)
        self._signature = _lazy_signature(self)
        _after_fork(self._new_lock)

    def _new_lock(self) -> None:
        self.lock = threading.RLock()

    def building(self, cls: Any, namespace: Mapping[str, Any] | None) -> _Build:
        """A context for building `cls`; a model deferred with the same namespace may become part of it."""
        return _Build(self.lock, self.current, cls, namespace)

    def alone(self) -> _Alone:
        """A context in which no other thread builds."""
        return _Alone(self.lock)

    def postpone(self, cls: Any, namespace: Mapping[str, Any]) -> bool:
        """Resolve the model's fields and remember the namespace; False, with nothing done, where that is not the same.

        Not the same: see the docstring of `lazy_models`. A hook for completed classes must be called, and the types
        that computed fields and serializers return are resolved in the class's own namespace when it is built.
        """
        if (
            cls.__pydantic_complete__
            or not cls.model_config.get("defer_build")
            or "__pydantic_fields_set__" in vars(cls)
        ):
            return False
        generic = cls.__pydantic_generic_metadata__
        if generic["origin"] or generic["parameters"]:
            return False
        hook = (
            getattr(cls.__pydantic_on_complete__, "__func__", None)
            if hasattr(cls, "__pydantic_on_complete__")
            else None
        )
        if hook is not None and hook is not self._base.__pydantic_on_complete__.__func__:
            return False
        found = cls.__pydantic_decorators__
        if found.computed_fields or found.field_serializers or found.model_serializers:
            return False
        if same_names(namespace, self._last):
            namespace = self._last  # A loop that makes the namespace anew for each model keeps one of them alive.
        if not self._resolve_fields(cls, namespace):
            return False
        self._last = namespace
        if hasattr(self.construction, "set_deprecated_descriptors"):
            self.construction.set_deprecated_descriptors(cls)
        setattr(cls, NAMESPACE, namespace)
        self.make_lazy(cls)
        return True

    def _resolve_fields(self, cls: Any, namespace: Mapping[str, Any]) -> bool:
        if self._rebuild_fields is not None and cls.__pydantic_fields_complete__:
            return True
        own = self._unpack(cls.__pydantic_parent_namespace__) if cls.__pydantic_parent_namespace__ else None
        known = {**namespace, **own} if own else namespace
        try:
            if self._rebuild_fields is None:
                self._resolve_in_place(cls, known)
            else:
                self._resolve_anew(cls, known)
        except Exception:
            return False  # pydantic's own rebuild will say what is wrong.
        return True

    def _resolve_anew(self, cls: Any, namespace: Mapping[str, Any]) -> None:
        """Make the fields as pydantic 2.11 and later do it in a rebuild."""
        config = self._config(cls.model_config, check=False)
        resolver = self._resolver(parent_namespace=namespace)
        named: dict[str, Any] = {"ns_resolver": resolver, "typevars_map": self._typevars_map(cls)}
        if "config_wrapper" in self._rebuild_fields.__code__.co_varnames:
            named["config_wrapper"] = config  # 2.12
        made = self._rebuild_fields(cls, **named)
        if isinstance(made, tuple):  # 2.13: with what is known of extra fields
            cls.__pydantic_fields__, cls.__pydantic_extra_info__ = made
        else:
            cls.__pydantic_fields__ = made

    def _resolve_in_place(self, cls: Any, namespace: Mapping[str, Any]) -> None:
        """Resolve fields as pydantic up to 2.10 does it while it generates the schema, without the schema."""
        config = self._config({**cls.model_config, "defer_build": False}, check=False)
        if self._resolver is not None:
            namespace = self._resolver(parent_namespace=namespace)
        generate = self._fields_only(config, namespace, self._typevars_map(cls))
        for stack in ("_ns_resolver", "_types_namespace_stack"):
            if hasattr(generate, stack):
                with getattr(generate, stack).push(cls):
                    return self._resolve_with(generate, cls)
        return self._resolve_with(generate, cls)

    def _resolve_with(self, generate: Any, cls: Any) -> None:
        for name, field in (getattr(cls, "__pydantic_fields__", None) or cls.model_fields).items():
            generate._common_field_schema(name, field, self._decorators())

    def complete_for_another(self, cls: Any) -> None:
        """Build a postponed model before it becomes part of a model of another namespace."""
        namespace = remembered(cls)
        if namespace is None or cls in self.current.classes or len(self.current.classes) > DEEPEST:
            return
        if self.current.namespaces and self.current.namespaces[-1] is namespace:
            return
        self.complete(cls)

    def complete_shared_part(self, cls: Any) -> None:
        """Build first the postponed model that most of this one's fields hold.

        It then is one part of this one, not one more copy, and most likely the one that is used by itself next: of
        aiogram's Update that is Message. One step only: the parts of the part are not built by themselves.
        """
        if len(self.current.classes) > 1 and remembered(self.current.classes[-2]) is not None:
            return
        fields = getattr(cls, "__pydantic_fields__", None) or cls.model_fields
        shared = most_common([model for field in fields.values() for model in models_in(field.annotation)])
        if shared is not None and shared not in self.current.classes:
            self.complete(shared)

    def complete(self, cls: Any) -> None:
        """Build a deferred model now; whether that worked is in its `__pydantic_complete__`."""
        cls.model_rebuild(raise_errors=False, _parent_namespace_depth=0)

    def can_complete(self, cls: Any) -> bool:
        """Whether the model can be built without names from the frame that uses it."""
        if cls in self.current.classes:
            return False
        if remembered(cls) is not None or getattr(cls, "__pydantic_fields_complete__", False):
            return True
        if self._rebuild_fields is not None:
            return False
        fields = (getattr(cls, "__pydantic_fields__", None) or cls.model_fields).values()
        return not any(self._holds_name(field.annotation) for field in fields)

    def make_lazy(self, cls: Any) -> None:
        """Put descriptors that build the model in the places of pydantic's stand-ins."""
        for name in ("__pydantic_validator__", "__pydantic_serializer__"):
            stand_in = cls.__dict__.get(name)
            if stand_in.__class__ is self.mock:
                setattr(cls, name, self._lazy(stand_in, cls, name))
        if "__signature__" not in cls.__dict__:
            cls.__signature__ = self._signature(cls)


def _unresolved(generics: Any) -> Any:
    """Tells whether an annotation still holds a name; pydantic up to 2.10 keeps no account of that."""
    from typing import ForwardRef

    return lambda annotation: generics.has_instance_in_type(annotation, (ForwardRef, str))


def _after_fork(action: Any) -> None:
    import os

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=action)


def _found(cls: Any, name: str, parts: Parts, unfinished: object) -> object:
    """The attribute of the class after it has been built; `unfinished` where that was not possible."""
    if not parts.can_complete(cls):
        return unfinished
    with parts.alone():
        if cls.__dict__.get(name) is unfinished:
            try:
                parts.complete(cls)
            except Exception:
                # Whoever calls the stand-in gets pydantic's error, from pydantic.
                return unfinished
        return cls.__dict__.get(name, unfinished)


def _fields_only(generate_schema: Any) -> Any:
    import warnings

    with warnings.catch_warnings():
        # pydantic warns of subclasses because its internals change; the versions that this is for do not.
        warnings.simplefilter("ignore")

        class FieldsOnly(generate_schema):  # type: ignore[misc]
            """Resolves the annotation of a field and makes no schema of it."""

            def _apply_annotations(self, *_unused: object, **_named: object) -> dict[str, str]:
                return {"type": "any"}

    return FieldsOnly


def _lazy_stand_in(parts: Parts) -> Any:
    class LazyStandIn(parts.mock):  # type: ignore[misc, name-defined]
        """pydantic's stand-in for a validator or serializer that, looked up on its class, builds the real one.

        pydantic-core looks a serializer up and does not call the stand-in; and a real one is faster from then on.
        """

        __slots__ = ("_headroom",)

        def __init__(self, stand_in: Any, cls: Any, name: str) -> None:
            for slot in parts.mock.__slots__:
                setattr(self, slot, getattr(stand_in, slot))
            self._headroom = cls, name

        def __get__(self, _instance: object, owner: Any = None) -> Any:
            cls, name = self._headroom
            return _found(cls, name, parts, self) if owner is cls else self

    return LazyStandIn


def _lazy_signature(parts: Parts) -> Any:
    class LazySignature:
        """`__signature__` of a model class that is not built yet; its instances have none."""

        __slots__ = ("_cls",)

        def __init__(self, cls: Any) -> None:
            self._cls = cls

        def __get__(self, instance: object, owner: Any = None) -> Any:
            if instance is not None:
                raise AttributeError("__signature__")
            cls = self._cls
            found = _found(cls, "__signature__", parts, self)
            return getattr(super(cls, cls) if found is self else cls, "__signature__")  # noqa: B009

    return LazySignature
