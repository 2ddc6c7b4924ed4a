# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The small host as a container on the local engine: fast, the default for the demo and for load."""

from __future__ import annotations

import subprocess
from pathlib import Path

from sandbox import engine, images, ssh
from sandbox.process import SandboxError, step
from sandbox.state import Instance, label

CAP_SYS_RESOURCE = 24  # its bit in a capability set, capability(7)
BOOT_SECONDS = 60.0
SECCOMP = images.HOST_FILES / "seccomp.json"


def container_name(name: str) -> str:
    return f"headroom-{name}"


def volume_name(name: str) -> str:
    """Return the name of the volume that holds the inner engine's images, containers and volumes."""
    return f"headroom-{name}-docker"


def template_name(template: str) -> str:
    return f"headroom-template-{template}"


def may_raise_limits(process_status: str) -> bool:
    """Tell from the text of /proc/self/status whether CAP_SYS_RESOURCE can be given to a container here."""
    for line in process_status.splitlines():
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1)
    return False


def rights(with_sys_resource: bool) -> list[str]:
    """Return the options that let systemd and an engine run inside.

    All capabilities one by one rather than --privileged: the devices of the machine stay outside, and it works where
    the machine itself lacks CAP_SYS_RESOURCE. The seccomp profile allows all calls but those that would change the
    machine underneath: its swap, its clock, its kernel modules.
    """
    drop = [] if with_sys_resource else ["--cap-drop", "SYS_RESOURCE"]
    return [
        "--cap-add", "ALL", *drop,
        "--security-opt", f"seccomp={SECCOMP}",
        "--security-opt", "apparmor=unconfined",
        "--security-opt", "systempaths=unconfined",
        "--device-cgroup-rule", "a *:* rwm",
        "--cgroupns", "private",
    ]  # fmt: skip


def run_arguments(instance: Instance, image: str, public_key: str, with_sys_resource: bool) -> list[str]:
    """Return the arguments of `docker` that start the host."""
    return [
        "run", "--detach",
        "--name", container_name(instance.name),
        "--hostname", ssh.HOST,
        "--label", label(),
        "--network", engine.NETWORK,
        "--publish", f"127.0.0.1:{instance.port}:22",
        "--memory", instance.memory,
        "--memory-swap", instance.memory,
        "--cpus", str(instance.cpus),
        *rights(with_sys_resource),
        "--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec",
        "--volume", f"{volume_name(instance.name)}:/var/lib/docker",
        "--env", f"HEADROOM_KEY={public_key}",
        "--stop-signal", "SIGRTMIN+3",
        image,
    ]  # fmt: skip


def up(instance: Instance, template: str | None) -> None:
    """Start the host and wait until its sshd and its engine answer."""
    engine.ensure()
    image = images.host_image()
    engine.ensure_network()
    if template:
        _seed(instance, image, template)
    arguments = run_arguments(
        instance, image, ssh.public_key(), may_raise_limits(Path("/proc/self/status").read_text(encoding="ascii"))
    )
    with step(f"start the host {instance.name}"):
        engine.docker(*arguments)
        try:
            ssh.wait_until_up(instance, BOOT_SECONDS, running)
            ssh.wait_for_engine(instance)
        except SandboxError as error:
            raise SandboxError(f"{error}\n{_log(instance)}") from error


def _log(instance: Instance) -> str:
    """Return the state of a host that did not come up and the last lines that it printed."""
    merged = [*engine.docker_command(), "logs", "--tail", "20", container_name(instance.name)]
    state = engine.docker("inspect", "-f", "{{.State.Status}}", container_name(instance.name)).strip()
    output = subprocess.run(merged, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout
    return f"its container is {state}; it printed:\n{output.decode(errors='replace')}"


def running(instance: Instance) -> bool:
    try:
        return engine.docker("inspect", "-f", "{{.State.Running}}", container_name(instance.name)).strip() == "true"
    except SandboxError:
        return False


def address(instance: Instance) -> str:
    """Return the IP address at which this machine reaches the host's own ports."""
    addresses = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    return engine.docker("container", "inspect", "-f", addresses, container_name(instance.name)).split()[0]


def down(instance: Instance) -> None:
    """Remove the host with its volume, also one that was only half started."""
    name = instance.name
    if engine.exists("container", container_name(name)):
        engine.docker("rm", "--force", "--volumes", container_name(name))
    if engine.exists("volume", volume_name(name)):
        engine.docker("volume", "rm", volume_name(name))


def has_template(template: str) -> bool:
    return engine.exists("volume", template_name(template))


def require_template(template: str) -> None:
    """Raise SandboxError when there is no such template."""
    if not has_template(template):
        raise SandboxError(
            f"there is no template {template}; make it with: python3 -m sandbox save-template {template}"
        )


def save_template(instance: Instance, template: str) -> None:
    """Keep a copy of what the inner engine holds, for hosts that are started from it later.

    The inner engine is stopped meanwhile: files in use would make a broken copy.
    """
    units = "docker.socket docker.service containerd.service"
    with step(f"save the template {template}"):
        if has_template(template):
            engine.docker("volume", "rm", template_name(template))
        engine.docker("volume", "create", "--label", label(), template_name(template))
        ssh.execute(instance, f"systemctl stop {units}")
        try:
            _copy(images.host_image(), volume_name(instance.name), template_name(template))
        finally:
            ssh.execute(instance, f"systemctl start {units}")
        ssh.wait_for_engine(instance)


def _seed(instance: Instance, image: str, template: str) -> None:
    require_template(template)
    with step(f"copy the template {template}"):
        engine.docker("volume", "create", "--label", label(), volume_name(instance.name))
        _copy(image, template_name(template), volume_name(instance.name))


def _copy(image: str, source: str, target: str) -> None:
    """Copy a volume with all that overlayfs keeps in it: device nodes and trusted.* attributes need these rights."""
    engine.docker(
        "run", "--rm", "--network", "none", "--cap-add", "SYS_ADMIN", "--cap-add", "MKNOD",
        "--security-opt", "apparmor=unconfined",
        "--volume", f"{source}:/source:ro", "--volume", f"{target}:/target",
        "--entrypoint", "cp", image, "--archive", "--reflink=auto", "/source/.", "/target/",
    )  # fmt: skip


def clean() -> None:
    """Remove every container, volume and network of this cache's sandbox."""
    mine = ["--quiet", "--filter", f"label={label()}"]
    for listing, removal in (
        (["ps", "--all"], ["rm", "--force", "--volumes"]),
        (["volume", "ls"], ["volume", "rm"]),
    ):
        found = engine.docker(*listing, *mine).split()
        if found:
            engine.docker(*removal, *found)
    if engine.docker("network", "ls", *mine).strip() and not engine.network_in_use():
        engine.docker("network", "rm", engine.NETWORK)
