# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Property tests here run by the profiles of all other unit tests."""

from __future__ import annotations

import importlib

importlib.import_module("ansible_collections.smallhost.headroom.tests.unit.conftest")
