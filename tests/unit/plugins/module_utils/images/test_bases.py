# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.images import bases


@pytest.mark.parametrize(
    ("image", "slim"),
    [
        ("python", "python:slim"),
        ("python:latest", "python:slim"),
        ("python:3.11", "python:3.11-slim"),
        ("python:3.11.8-bookworm", "python:3.11.8-slim-bookworm"),
        ("docker.io/library/python:3", "docker.io/library/python:3-slim"),
        ("python:3.11-slim", "python:3.11-slim"),
        ("python:3.12.3-slim-bookworm", "python:3.12.3-slim-bookworm"),
        ("python:3.11-alpine", None),
        ("python:3.11-windowsservercore", None),
        ("python@sha256:0123", None),
        ("bitnami/python:3.11", None),
        ("pypy:3", None),
    ],
)
def test_the_slim_twin(image, slim):
    assert bases.slim(image) == slim


@pytest.mark.parametrize(
    ("image", "smaller"),
    [
        ("redis:7", "redis:7-alpine"),
        ("postgres", "postgres:alpine"),
        ("postgres:16.2", "postgres:16.2-alpine"),
        ("redis:7-alpine", None),
        ("redis@sha256:0123", None),
        ("redis:7-bookworm", None),
        ("example.org/redis:7", None),
        ("ghcr.io/x/y:1", None),
    ],
)
def test_lighter_variants_of_pulled_images(image, smaller):
    assert bases.lighter(image) == smaller
