# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The virtual machine's disk, kernel and snapshot, each made once and kept in the cache."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sandbox import apt, container, engine, images, ssh
from sandbox.process import as_root, run, step
from sandbox.state import cache_dir, digest

DISK_SIZE = "59G"  # the plan's host
ENGINE_SIZE = "20G"
ENGINE_LABEL = "engine"
VM_PACKAGES = ("apparmor", "busybox-static", "cpio", "linux-image-cloud-amd64", "udev")
TOOLS = ("qemu-system-x86", "qemu-utils", "e2fsprogs", "mmdebstrap")
# The kernel's package would make an initrd of its own through this hook; ours is made by the customizing script.
DPKG_OPTIONS = ("path-exclude=/etc/kernel/postinst.d/initramfs-tools",)


def recipe() -> images.Recipe:
    """Return how the virtual machine's root is made."""
    base = images.host_recipe("vm", VM_PACKAGES)
    key = ssh.private_key().with_suffix(".pub")
    return images.Recipe(base.packages, base.script, (*base.script_arguments, str(key)), DPKG_OPTIONS)


def folder() -> Path:
    """Return the folder with `disk.qcow2`, `vmlinuz` and `initrd`, made when there is none for today's recipe."""
    made = recipe()
    target = cache_dir() / "vm" / made.digest()
    if not target.exists():
        apt.install(*TOOLS)
        with step("make the virtual machine's disk"):
            _make(made, target)
    return target


def _make(made: images.Recipe, target: Path) -> None:
    """Make everything in a folder beside the target, which gets its name only when all is in it."""
    work = target.with_name(target.name + ".part")
    run(as_root(["rm", "-rf", str(work)]))
    work.mkdir(parents=True)
    root = work / "root"
    run(as_root(images.mmdebstrap_argv(made, str(root), apt.mirror())), timeout=images.BUILD_SECONDS)
    for name in ("vmlinuz", "initrd"):
        run(as_root(["install", "-m", "644", str(root / "boot" / name), str(work / name)]))
    raw = work / "disk.raw"
    options = ["-q", "-F", "-L", "smallhost", "-E", "lazy_itable_init=1", "-d", str(root)]
    run(as_root(["mkfs.ext4", *options, str(raw), DISK_SIZE]), timeout=300)
    run(as_root(["chown", str(os.getuid()), str(raw)]))
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(work / "disk.qcow2")], timeout=300)
    raw.unlink()
    run(as_root(["rm", "-rf", str(root)]))
    work.rename(target)


def make_engine_disk(target: Path, template: Path | None, snapshot: str) -> None:
    """Make the second disk of a machine: empty, or with a template's contents, of which only changes are written.

    It has a snapshot of that name in it, without which QEMU would not load the machine's.
    """
    backing = ["-F", "raw", "-b", str(template)] if template else []
    run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(target), ENGINE_SIZE])
    run(["qemu-img", "snapshot", "-c", snapshot, str(target)])


def template_disk(template: str) -> Path:
    """Return a file system with what a template holds, made when there is none of that template's present state.

    Templates are volumes of the local engine, saved by a host of the container kind.
    """
    volume = container.template_name(template)
    made, mountpoint = engine.docker("volume", "inspect", "-f", "{{.CreatedAt}} {{.Mountpoint}}", volume).split()
    target = cache_dir() / "templates" / f"{template}-{digest([made])}.raw"
    if target.exists():
        return target
    with step(f"make a disk of the template {template}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        for old in target.parent.glob(f"{template}-*.raw"):
            old.unlink()
        part = target.with_suffix(".part")
        part.unlink(missing_ok=True)
        make = ["mkfs.ext4", "-q", "-F", "-L", ENGINE_LABEL, "-E", "lazy_itable_init=1", "-d", mountpoint]
        run(as_root([*make, str(part), ENGINE_SIZE]), timeout=300)
        run(as_root(["chown", str(os.getuid()), str(part)]))
        part.rename(target)
    return target


def copy_disk(source: Path, target: Path) -> None:
    """Copy a disk with its snapshots; where the file system can, without writing the data again."""
    run(["cp", "--reflink=auto", "--sparse=auto", str(source), str(target)], timeout=300)


def qemu_version() -> str:
    """Return QEMU's version line: a snapshot is loaded by the same QEMU only."""
    if not shutil.which("qemu-system-x86_64"):
        apt.install(*TOOLS)
    return run(["qemu-system-x86_64", "--version"]).splitlines()[0]
