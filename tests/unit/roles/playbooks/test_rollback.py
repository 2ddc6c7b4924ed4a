# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which stages rollback.yml takes for one."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("name", ["stage1", "0", None])
def test_what_is_no_stage_is_refused(stage, name):
    given = {} if name is None else {"stage": name}
    code, output = stage.ansible("smallhost.headroom.rollback", "-i", "localhost,", "-c", "local", **given)
    assert code == 2
    assert "Say -e stage=1, 2, 3 or 4" in " ".join(output.split())
    assert not (stage.folder / "calls").read_text()
