# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands for an installation: a package, the cache it leaves behind, and files where no package has any business."""

from __future__ import annotations

import pathlib
import sys

PLACE = pathlib.Path(next(path for path in sys.path if path.endswith("dist-packages") and "local" in path))


def write(path: pathlib.Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


write(PLACE / "tool" / "__init__.py", b"ANSWER = 42\n")
write(PLACE / "tool" / "tests" / "test_tool.py", b"")
write(pathlib.Path("/root/.cache/pip/http/blob"), b"x" * 20_000_000)
write(pathlib.Path("/etc/hidden/hidden.py"), b"ANSWER = 42\n")
