# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.smallhost.headroom.plugins.modules.host_report import dated, file_name


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("web1", "web1"),
        ("web-1.example.org", "web-1.example.org"),
        ("::1", "__1"),
        ("../../etc/x", "_.._etc_x"),
        ("..", "host"),
    ],
)
def test_a_host_name_cannot_lead_out_of_the_folder(host, name):
    assert file_name(host) == name


OLD = {"host": "web1", "measured_at": "2026-11-22T10:00:00Z", "figure": 1}
NEW = {**OLD, "measured_at": "2026-11-22T11:00:00Z"}


def test_the_date_stays_while_nothing_else_changes():
    assert dated(NEW, json.dumps(OLD).encode()) == OLD


@pytest.mark.parametrize("before", [None, b"", b"no json", b"[]", b"{}", json.dumps({**OLD, "figure": 2}).encode()])
def test_the_date_moves_with_anything_else(before):
    assert dated(NEW, before) == NEW
