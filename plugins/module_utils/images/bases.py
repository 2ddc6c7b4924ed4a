# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Base images: the slim twin of an official Python image, and lighter tags of images that are only pulled."""

from __future__ import annotations

import re

# Tags of the official image (hub.docker.com/_/python, "Supported tags"): a version, then optionally `slim`, then the
# Debian release that it is built on.
_PYTHON = re.compile(r"^(?:(?:docker\.io|registry-1\.docker\.io)/)?(?:library/)?python(?::([A-Za-z0-9._-]+))?$")
_TAG = re.compile(r"^(latest|\d+(?:\.\d+){0,2}(?:(?:a|b|rc)\d+)?)(?:-(buster|bullseye|bookworm|trixie|forky))?$")
_SLIM = re.compile(r"^(?:\d+(?:\.\d+){0,2}(?:(?:a|b|rc)\d+)?-)?slim(?:-[a-z]+)?$")

# Official images that publish a small variant under a tag of the same version (their pages on Docker Hub).
_LIGHTER: dict[str, str] = {
    "redis": "alpine",
    "postgres": "alpine",
    "nginx": "alpine",
    "memcached": "alpine",
    "rabbitmq": "alpine",
    "haproxy": "alpine",
    "httpd": "alpine",
    "node": "slim",
    "python": "slim",
    "valkey/valkey": "alpine",
}
_SMALL = ("alpine", "slim", "distroless", "scratch", "bookworm-slim")


def is_python(image: str) -> bool:
    """Whether it is the official Python image, in any tag."""
    return bool(_PYTHON.match(image))


def slim(image: str) -> str | None:
    """The slim tag of the same Python on the same Debian release; the image itself where it is slim; else None.

    `python:3.11` and `python:3.11-slim` are built from one commit of the official images on one Debian release, so the
    interpreter is the same. A digest names one image and no twin.
    """
    match = _PYTHON.match(image)
    if not match:
        return None
    tag = match[1] or "latest"
    if _SLIM.match(tag):
        return image
    parts = _TAG.match(tag)
    if not parts:
        return None
    name = image.partition(":")[0] if ":" in image else image
    version = "" if parts[1] == "latest" else f"{parts[1]}-"
    return f"{name}:{version}slim" + (f"-{parts[2]}" if parts[2] else "")


def lighter(image: str) -> str | None:
    """A smaller variant of an official image that is known to exist, or None. A proposal: its libc may differ."""
    if "@" in image:
        return None
    name, _colon, tag = image.partition(":")
    short = re.sub(r"^(?:docker\.io/)?(?:library/)?", "", name)
    variant = _LIGHTER.get(short)
    if not variant or any(word in tag for word in _SMALL):
        return None
    version = re.match(r"^(\d+(?:\.\d+)*)?$", "" if tag == "latest" else tag)
    if not version:
        return None
    return f"{name}:{version[1]}-{variant}" if version[1] else f"{name}:{variant}"
