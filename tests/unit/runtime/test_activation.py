# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Switching features on: what is parsed, what is imported, and that nothing that goes wrong stops an application."""

from __future__ import annotations

import pytest
from headroom_runtime.features import FEATURES, UnknownFeature, parse, typed


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        (" , ", {}),
        ("lazy-models", {"lazy-models": {}}),
        ("lazy-models, http", {"lazy-models": {}, "http": {}}),
        ("release-memory:idle=5:freeze=0,http", {"release-memory": {"idle": "5", "freeze": "0"}, "http": {}}),
        ("api:counters=/run/a=b", {"api": {"counters": "/run/a=b"}}),
    ],
)
def test_the_variable_names_features_and_options(text, found):
    assert parse(text) == found


def test_options_have_the_type_of_their_default():
    assert typed("release-memory", {"idle": "5", "freeze": "0"}) == {"idle": 5.0, "freeze": False}
    assert typed("images", {}) == {"pixels": -1, "draft": False}


@pytest.mark.parametrize(
    ("feature", "options", "error"),
    [
        ("nonsense", {}, UnknownFeature),
        ("http", {"nonsense": "1"}, UnknownFeature),
        ("images", {"pixels": "many"}, ValueError),
        ("images", {"draft": "yes"}, ValueError),
    ],
)
def test_a_wrong_name_or_value_is_refused(feature, options, error):
    with pytest.raises(error):
        typed(feature, options)


def test_importing_costs_nothing_that_the_application_did_not_import(application):
    said, errors = application(
        ",".join(FEATURES),
        """
        import sys
        print(sorted(name for name in sys.modules if name.startswith("headroom_runtime")))
        print([name for name in ("typing", "re", "asyncio", "threading", "ctypes", "json") if name in sys.modules])
        """,
    )
    modules, imported = said.splitlines()
    assert modules == str(
        [
            "headroom_runtime",
            "headroom_runtime.activation",
            "headroom_runtime.after_import",
            "headroom_runtime.features",
        ]
    )
    # What a bare interpreter has differs between versions; the runtime adds none of it.
    plain, _unused = application(
        "",
        "import sys; print([n for n in ('typing', 're', 'asyncio', 'threading', 'ctypes', "
        "'json') if n in sys.modules])",
    )
    assert imported == plain.strip()
    assert errors == ""


def test_what_is_unknown_is_said_in_one_line_and_the_rest_is_applied(application):
    said, errors = application(
        "nonsense,http:read=soon,release-memory",
        "import headroom_runtime.activation as a; print(sorted(a.active))",
    )
    assert said == "['release-memory']\n"
    assert [line.split(":")[1].strip() for line in errors.splitlines()] == [
        "nonsense not applied",
        "http not applied",
    ]


def hooks():
    return [(name, library, function) for name, one in FEATURES.items() for library, function in one.after.items()]


@pytest.mark.parametrize(("feature", "library", "function"), hooks())
def test_a_hook_that_fails_never_stops_an_application(application, feature, library, function):
    """The library is a stand-in that has none of the things that the hook looks for."""
    said, errors = application(
        feature,
        f"""
        import sys, types, importlib.machinery, importlib.util
        import {FEATURES[feature].module} as module

        def broken(*arguments, **named):
            raise RuntimeError("injected")

        module.{function} = broken

        class Loader:
            def create_module(self, spec): return None
            def exec_module(self, module): module.executed = True

        class Finder:
            def find_spec(self, name, path=None, target=None):
                if {library!r}.startswith(name):
                    return importlib.machinery.ModuleSpec(name, Loader(), is_package=True)

        for name in [name for name in sys.modules if {library!r}.startswith(name)]:
            del sys.modules[name]
        sys.meta_path.insert(1, Finder())
        import importlib
        print(importlib.import_module({library!r}).executed)
        """,
    )
    assert said == "True\n"
    *of_its_packages, last = errors.splitlines()
    assert last == f"headroom_runtime: {feature} not applied to {library}: RuntimeError: injected"
    assert all(line.startswith(f"headroom_runtime: {feature} not applied to ") for line in of_its_packages)


def test_a_library_that_cannot_be_imported_fails_as_ever(application):
    said, _unused = application(
        "lazy-models",
        """
        import sys, pathlib
        pathlib.Path("pydantic").mkdir()
        pathlib.Path("pydantic/__init__.py").write_text("")
        pathlib.Path("pydantic/main.py").write_text("raise ImportError('as ever')")
        try:
            import pydantic.main
        except ImportError as error:
            print(error, "pydantic.main" in sys.modules)
        """,
    )
    assert said == "as ever False\n"


def test_the_loader_stays_what_it_was(application):
    said, _unused = application(
        "release-memory",
        """
        import asyncio.base_events as module, inspect, importlib
        print(type(module.__loader__).__name__, "class BaseEventLoop" in inspect.getsource(module))
        importlib.reload(module)
        """,
    )
    assert said == "SourceFileLoader True\n"


def test_another_finder_that_asks_all_others_is_no_endless_circle(application):
    """As the redirect of stage 3 does, whichever of the two comes first."""
    said, errors = application(
        "release-memory",
        """
        import sys
        class Other:
            looks = 0
            def find_spec(self, name, path=None, target=None):
                if name != "asyncio.base_events":
                    return None
                self.looks += 1
                for finder in sys.meta_path:
                    spec = None if finder is self else finder.find_spec(name, path, target)
                    if spec is not None:
                        return spec
        first, last = Other(), Other()
        sys.meta_path.insert(0, first)
        import asyncio.base_events
        del sys.modules["asyncio.base_events"]
        sys.meta_path.remove(first)
        sys.meta_path.insert(2, last)
        import asyncio.base_events as module
        print(first.looks, last.looks, module.BaseEventLoop.run_forever.__module__)
        """,
    )
    assert said == "2 1 headroom_runtime.release_memory\n"
    assert errors == ""
