# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small host with the reference stack on it, in one step; images of an earlier one are kept for the next."""

from __future__ import annotations

from sandbox import host, stack_images, state
from sandbox.stack import deploy
from sandbox.state import Instance

TEMPLATE = "imagebot"


def bring_up(name: str, kind: str = "container") -> Instance:
    """Start a host of that name with the stack running and healthy on it, and return it. Safe to repeat.

    Raises SandboxError when a part of it cannot be built or started.
    """
    stack_images.build_all()
    if kind == "vm":
        # Images reach a virtual machine as a disk made from a template, which only a container host can save.
        _up_with_images(f"{name}-images", "container")
        host.down(f"{name}-images")
    instance = _up_with_images(name, kind)
    deploy.deploy(name)
    return instance


def _up_with_images(name: str, kind: str) -> Instance:
    is_new = state.load(name) is None
    instance = host.up(name, kind, template=TEMPLATE if host.has_template(kind, TEMPLATE) else None)
    # A host that was there before has containers and volumes, which no other host must start with.
    if deploy.load_images(instance) and kind == "container" and is_new:
        host.save_template(name, TEMPLATE)
    return instance
