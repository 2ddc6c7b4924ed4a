# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib

import pytest

pytest.importorskip("ansible.plugins.lookup", reason="needs a controller")

from ansible.errors import AnsibleError
from ansible_collections.smallhost.headroom.plugins.lookup import checksums


def test_files_of_any_content_by_path_without_what_tools_leave(tmp_path):
    for name in ("b/deep/dictionary.zstd", "a.py", "b/.cache/x", ".hidden", "a.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\xff\0" + name.encode())
    assert checksums.checksums(str(tmp_path)) == [
        {"path": name, "checksum": hashlib.sha1(b"\xff\0" + name.encode()).hexdigest()}
        for name in ("a.py", "b/deep/dictionary.zstd")
    ]


def test_a_folder_that_is_not_there_is_an_error_and_not_an_empty_list(tmp_path):
    with pytest.raises(AnsibleError, match="is no folder"):
        checksums.checksums(str(tmp_path / "missing"))
