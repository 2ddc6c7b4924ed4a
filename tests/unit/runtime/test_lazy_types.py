# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A package that only gathers names answers for each of them, and imports nothing before."""

from __future__ import annotations

import pytest
from headroom_runtime.lazy_types import gathered_names

FILES = {
    "openai/__init__.py": "from . import types\n",
    "openai/types/__init__.py": '"""Types."""\nfrom __future__ import annotations\n'
    "from .one import One as One, _two as two\nfrom .chat import Chat\n",
    "openai/types/one.py": "print('one is imported')\nclass One: pass\n_two = 2\n",
    "openai/types/aside.py": "ASIDE = 1\n",
    "openai/types/broken.py": "import nowhere\n",
    "openai/types/chat/__init__.py": "from .chat import Chat\nfrom ..one import One\n",
    "openai/types/chat/chat.py": "print('chat is imported')\nclass Chat: pass\n",
    "openai/types/more/__init__.py": "from ..one import One\nprint('more is run')\n",
}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from .a import B", {"B": (".a", "B")}),
        (
            "'doc'\nfrom __future__ import annotations\nfrom ..a.b import (C as D,)",
            {"annotations": ("__future__", "annotations"), "D": ("..a.b", "C")},
        ),
        ("", None),
        ("from .a import *", None),
        ("from . import a", None),
        ("from a import b", None),
        ("import a", None),
        ("from .a import B\n__all__ = ['B']", None),
        ("from .a import B\nB.model_rebuild()", None),
    ],
)
def test_only_files_that_gather_are_taken(source, names):
    assert gathered_names(source) == names


@pytest.fixture
def openai(application, tmp_path):
    """Run an application beside a small SDK: its output with lazy-models, after it was compared with that without."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def run(code: str) -> list[str]:
        plain, _unused = application("", code)
        lazy, errors = application("lazy-models", code)
        assert errors == ""
        assert [line for line in lazy.splitlines() if "imported" not in line] == [
            line for line in plain.splitlines() if "imported" not in line
        ]
        return lazy.splitlines()

    return run


def test_nothing_is_imported_before_it_is_asked_for(openai):
    said = openai("import openai; print('sdk'); openai.types.One; print('asked'); print(openai.types.two)")
    assert said == ["sdk", "one is imported", "asked", "2"]


def test_all_ways_to_a_name(openai):
    said = openai(
        """
        from openai.types import One
        import openai.types.chat as chat
        from openai.types.chat.chat import Chat
        import openai
        print(openai.types.One is One, chat.Chat is Chat, openai.types.Chat is Chat, chat.One is One)
        print({"One", "two", "Chat"} <= set(dir(openai.types)), openai.types.one.One is One, openai.types.__doc__)
        print(hasattr(openai.types, "nothing"), hasattr(openai.types, "__nothing__"))
        """
    )
    assert said[-3:] == ["True True True True", "True True Types.", "False False"]


def test_a_star_import_brings_the_names(openai):
    assert openai("from openai.types import *; print(One.__name__, two, Chat.__name__)")[-1] == "One 2 Chat"


def test_a_package_that_does_more_is_run(openai):
    assert openai("import openai.types.more")[-1] == "more is run"


def test_an_error_in_a_submodule_stays_that_error(openai):
    said = openai(
        """
        import openai
        try:
            import openai.types.broken
        except ImportError as error:
            print(error)
        """
    )
    assert said == ["No module named 'nowhere'"]


def test_a_submodule_that_nothing_gathers_is_found(application, tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    said, _unused = application("lazy-models", "import openai; print(openai.types.aside.ASIDE)")
    assert said == "1\n"


def test_an_error_inside_has_the_package_run_as_ever(application, tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    said, errors = application(
        "lazy-models",
        """
        import headroom_runtime.lazy_types
        def broken(source):
            raise RuntimeError("injected")
        headroom_runtime.lazy_types.gathered_names = broken
        import openai
        print(openai.types.two)
        """,
    )
    assert said.splitlines() == ["one is imported", "chat is imported", "2"]
    assert "lazy-models not applied to openai.types: RuntimeError: injected" in errors
