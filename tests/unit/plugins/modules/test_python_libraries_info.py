# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be imported, what is not there, and what is there and broken."""

from __future__ import annotations

from ansible_collections.smallhost.headroom.plugins.modules.python_libraries_info import missing


def test_names_what_cannot_be_imported_in_order(tmp_path, monkeypatch):
    (tmp_path / "broken_library.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert missing(["no_such_library", "json", "broken_library", "yaml"]) == [
        {"name": "no_such_library", "error": "ModuleNotFoundError: No module named 'no_such_library'"},
        {"name": "broken_library", "error": "ZeroDivisionError: division by zero"},
    ]
