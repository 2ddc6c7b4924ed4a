# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One interface for both kinds of host."""

from __future__ import annotations

import os
import shutil
from types import ModuleType

from sandbox import container, engine, images, ssh, state, vm
from sandbox.process import SandboxError, say, step
from sandbox.providers import container as stand_ins
from sandbox.state import Instance

KINDS = ("container", "vm")
MEMORY = "2900m"  # the plan's host: 2.9 GB
CPUS = 3  # the plan's host; a machine with fewer gives what it has


def _kind(kind: str) -> ModuleType:
    return {"container": container, "vm": vm}[kind]


def up(
    name: str = "smallhost",
    kind: str = "container",
    memory: str = MEMORY,
    cpus: int = CPUS,
    template: str | None = None,
    dns: str | None = None,
) -> Instance:
    """Start a host and return it; one of that name which runs already is kept as it is.

    `memory` as the engine writes it ("2900m"), `dns` the IP address of a name server for the host.
    Raises SandboxError when it cannot be started; what was half started is removed then.
    """
    known = state.load(name)
    if known and known.kind != kind:
        raise SandboxError(
            f"the host {name} is a {known.kind}; take it down first: python3 -m sandbox down --name {name}"
        )
    if known and _kind(kind).running(known):
        say(f"the host {name} is up already")
        instance = known
    else:
        instance = _start(Instance(name, kind, ssh.free_port(), memory, min(cpus, os.cpu_count() or 1)), template)
    if dns:
        ssh.set_dns(instance, dns)
    return instance


def _start(instance: Instance, template: str | None) -> Instance:
    down(instance.name)
    instance.save()
    try:
        with step(f"bring up the {instance.kind} host {instance.name}"):
            _kind(instance.kind).up(instance, template)
    except BaseException:
        down(instance.name)
        raise
    ssh.write_inventory(instance)
    return instance


def down(name: str) -> None:
    """Remove a host and all of its data; nothing happens when there is none of that name."""
    instance = state.load(name)
    if instance is None:
        return
    with step(f"take down the host {name}"):
        _kind(instance.kind).down(instance)
        stand_ins.down(name)
        shutil.rmtree(instance.folder)


def status() -> list[tuple[Instance, bool]]:
    """Return all known hosts, each with whether it runs."""
    hosts = [state.require(name) for name in state.names()]
    return [(instance, _kind(instance.kind).running(instance)) for instance in hosts]


def save_template(name: str, template: str) -> None:
    """Keep what the host's engine holds (images, volumes) for hosts started with that template later."""
    instance = state.require(name)
    _kind(instance.kind).save_template(instance, template)


def has_template(kind: str, template: str) -> bool:
    return bool(_kind(kind).has_template(template))


def clean() -> None:
    """Remove all that the sandbox made: hosts, templates, images, network, caches, an engine that it started."""
    for name in state.names():
        down(name)
    if shutil.which("docker"):
        with step("remove the sandbox's images and volumes"):
            container.clean()
            images.remove_own()
        engine.stop_own()
    shutil.rmtree(state.cache_dir(), ignore_errors=True)
