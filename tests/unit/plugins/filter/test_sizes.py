# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

pytest.importorskip("ansible.plugins.filter", reason="needs a controller")

from ansible.errors import AnsibleFilterError
from ansible_collections.smallhost.headroom.plugins.filter import sizes

FILTERS = sizes.FilterModule().filters()


def test_each_dialect_has_its_own_units():
    assert [FILTERS["compose_bytes"](size) for size in ("96m", "96MiB", 96)] == [100663296, 100663296, 96]
    assert [FILTERS["redis_bytes"](size) for size in ("96m", "96mb", 96)] == [96000000, 100663296, 96]


@pytest.mark.parametrize(("name", "size"), [("compose_bytes", "much"), ("redis_bytes", "1.5gb")])
def test_what_is_no_size_is_said(name, size):
    with pytest.raises(AnsibleFilterError, match=size):
        FILTERS[name](size)
