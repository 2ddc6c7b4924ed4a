# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The small host as a virtual machine: a kernel of its own with cgroup v2, pressure figures, swap and reboot.

Slow where the machine cannot virtualise and QEMU has to emulate the processor: for what a container cannot show.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from sandbox import apt, container, engine, ssh, vm_disk
from sandbox.process import SandboxError, run, step
from sandbox.qmp import SOCKET, Monitor
from sandbox.state import Instance, digest

SNAPSHOT = "ready"
DISK = "disk.qcow2"
ENGINE_DISK = "engine.qcow2"  # with a template: the file system of /var/lib/docker; else not in use
# What the kernel read of the second disk before the snapshot was taken is of another disk.
USE_ENGINE_DISK = f"""
set -e
systemctl stop docker.socket docker.service
blockdev --flushbufs /dev/vdb
echo 'LABEL={vm_disk.ENGINE_LABEL} /var/lib/docker ext4 nofail,noatime,noinit_itable 0 2' >> /etc/fstab
mount /var/lib/docker
systemctl start docker.service
"""
BOOT_SECONDS = 600.0  # a cold start takes about 30 s emulated on two free cores, ten times that on busy ones
KERNEL_ARGUMENTS = "root=/dev/vda rw console=ttyS0 quiet mitigations=off net.ifnames=0 psi=1"


def memory_mib(memory: str) -> int:
    """Return MiB of a size as the engine writes it ("2900m", "3g"). Raises SandboxError for anything else."""
    match = re.fullmatch(r"(\d+)([mg])b?", memory.lower())
    if not match:
        raise SandboxError(f"the memory of a virtual machine is written like 2900m or 3g, not {memory!r}")
    return int(match[1]) * (1024 if match[2] == "g" else 1)


def accelerator(cpu_info: str, kvm_usable: bool) -> list[str]:
    """Return QEMU's options for the processor.

    KVM only where the processor says that it can: a /dev/kvm that opens without that makes QEMU abort or hang.
    """
    if kvm_usable and re.search(r"^flags\s*:.*\b(vmx|svm)\b", cpu_info, re.MULTILINE):
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "Nehalem"]


def hardware(memory: str, cpus: int, processor: list[str]) -> list[str]:
    """Return the options that a snapshot depends on: it fits a machine with the same ones only."""
    return [
        "-machine", "q35", *processor, "-smp", str(cpus), "-m", str(memory_mib(memory)),
        "-nodefaults", "-display", "none",
        "-device", "virtio-blk-pci,drive=disk",
        "-device", "virtio-blk-pci,drive=engine",
        "-device", "virtio-net-pci,netdev=net",
        "-device", "virtio-rng-pci",
    ]  # fmt: skip


def qemu_argv(instance: Instance, disk_folder: Path, processor: list[str], snapshot: str | None) -> list[str]:
    """Return the command that starts the machine in the background; it is run in the host's folder."""
    return [
        "qemu-system-x86_64", *hardware(instance.memory, instance.cpus, processor),
        "-drive", f"if=none,id=disk,file={DISK},format=qcow2,cache=unsafe,discard=unmap",
        "-drive", f"if=none,id=engine,file={ENGINE_DISK},format=qcow2,cache=unsafe,discard=unmap",
        "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{instance.port}-:22",
        "-kernel", str(disk_folder / "vmlinuz"), "-initrd", str(disk_folder / "initrd"), "-append", KERNEL_ARGUMENTS,
        "-serial", "file:console.log", "-qmp", f"unix:{SOCKET},server=on,wait=off",
        "-pidfile", "qemu.pid", "-daemonize",
        *(["-loadvm", snapshot] if snapshot else []),
    ]  # fmt: skip


def _processor() -> list[str]:
    return accelerator(Path("/proc/cpuinfo").read_text(encoding="utf-8"), os.access("/dev/kvm", os.R_OK | os.W_OK))


def _launch(instance: Instance, disk_folder: Path, snapshot: str | None) -> None:
    argv = qemu_argv(instance, disk_folder, _processor(), snapshot)
    run(["env", "--chdir", str(instance.folder), *argv], timeout=60)
    try:
        ssh.wait_until_up(instance, BOOT_SECONDS, running)
    except SandboxError as error:
        console = (instance.folder / "console.log").read_text(errors="replace")[-2000:]
        raise SandboxError(f"{error}\nthe end of its console:\n{console}") from error
    if snapshot:
        # It wakes up at the time when the snapshot was taken.
        ssh.execute(instance, f"date --set=@{time.time():.3f}")


def up(instance: Instance, template: str | None) -> None:
    """Start the machine from a snapshot of a running one and wait until its sshd and its engine answer."""
    apt.install(*vm_disk.TOOLS)
    engine.ensure()
    engine.ensure_network()
    disk_folder = vm_disk.folder()
    if template:
        container.require_template(template)
    source = _booted_disk(instance, disk_folder)
    with step("copy the disk"):
        vm_disk.copy_disk(source, instance.folder / DISK)
    template_disk = vm_disk.template_disk(template) if template else None
    vm_disk.make_engine_disk(instance.folder / ENGINE_DISK, template_disk, SNAPSHOT)
    with step(f"start the host {instance.name}"):
        _launch(instance, disk_folder, SNAPSHOT)
        if template:
            ssh.execute(instance, USE_ENGINE_DISK, timeout=BOOT_SECONDS)
        ssh.wait_for_engine(instance)


def _booted_disk(instance: Instance, disk_folder: Path) -> Path:
    """Return a disk with the snapshot of a machine of this size that has come up, made on first use."""
    parts = [*hardware(instance.memory, instance.cpus, _processor()), KERNEL_ARGUMENTS, vm_disk.qemu_version()]
    target = disk_folder / f"booted-{digest(parts)}.qcow2"
    if not target.exists():
        vm_disk.copy_disk(disk_folder / DISK, instance.folder / DISK)
        vm_disk.make_engine_disk(instance.folder / ENGINE_DISK, None, "empty")
        with step("boot the virtual machine"):
            _launch(instance, disk_folder, None)
            ssh.wait_for_engine(instance, BOOT_SECONDS)
            ssh.execute(instance, "systemctl is-system-running --wait", timeout=BOOT_SECONDS)
        with step("take a snapshot"):
            with Monitor(instance.folder) as monitor:
                monitor.human(f"savevm {SNAPSHOT}")
            _stop(instance)
            (instance.folder / DISK).rename(target)
    return target


def _pid(folder: Path) -> int | None:
    """Return the process that runs the machine of this folder, None when it is gone."""
    try:
        pid = int((folder / "qemu.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return None
    return pid if b"qemu-system" in command else None


def running(instance: Instance) -> bool:
    return _pid(instance.folder) is not None


def _stop(instance: Instance) -> None:
    """End the machine at once, as pulling its plug would, and wait until its process is gone."""
    if running(instance):
        with Monitor(instance.folder) as monitor:
            monitor.execute("quit")
    deadline = time.monotonic() + 20
    while running(instance):
        if time.monotonic() > deadline:
            raise SandboxError(f"the virtual machine of {instance.folder} does not end")
        time.sleep(0.1)


def down(instance: Instance) -> None:
    """End the machine; its disk goes with the host's folder."""
    _stop(instance)


has_template = container.has_template


def save_template(instance: Instance, template: str) -> None:
    """Refuse: both kinds start from the templates that a container host saves, which does it many times faster."""
    raise SandboxError(
        f"the virtual machine {instance.name} cannot save the template {template}: save it on a host of the container "
        "kind; virtual machines start from it too"
    )
