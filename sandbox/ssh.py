# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reaching a host: its key, the ssh command line, the Ansible inventory."""

from __future__ import annotations

import io
import ipaddress
import json
import shlex
import shutil
import socket
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sandbox import apt
from sandbox.process import SandboxError, run, succeeds
from sandbox.state import Instance, cache_dir

HOST = "smallhost"


def private_key() -> Path:
    """Return the key that logs in to every host of this cache, made on first use."""
    path = cache_dir() / "id_ed25519"
    if not path.exists():
        if not shutil.which("ssh-keygen"):
            apt.install("openssh-client")
        path.parent.mkdir(parents=True, exist_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "headroom sandbox", "-f", str(path)])
    return path


def public_key() -> str:
    """Return the public half as a line of authorized_keys, without its newline."""
    return private_key().with_suffix(".pub").read_text().strip()


def options(instance: Instance) -> list[str]:
    """Return ssh options that fit a host which is made anew at any time, on a port that others had before it."""
    return [
        "-o", "StrictHostKeyChecking=no",
        "-o", f"UserKnownHostsFile={instance.known_hosts}",
        "-o", "LogLevel=ERROR",
        "-o", "IdentitiesOnly=yes",
        "-o", "ConnectTimeout=30",
    ]  # fmt: skip


def argv(instance: Instance, command: Sequence[str] = ()) -> list[str]:
    """Return the ssh command line that runs `command` (one shell line, as ssh itself joins the words) on the host."""
    address = ["-i", str(private_key()), "-p", str(instance.port), "root@127.0.0.1"]
    return ["ssh", *options(instance), *address, *command]


def execute(instance: Instance, *command: str, stdin: bytes | None = None, timeout: float = 120.0) -> str:
    """Run a command on the host and return its stdout. Raises SandboxError when it fails."""
    return run(argv(instance, command), stdin=stdin, timeout=timeout)


def push(instance: Instance, source: str, target: str) -> None:
    """Copy a file, or what is in a folder, to a path on the host; missing folders there are made."""
    path = Path(source)
    place = shlex.quote(target)
    if path.is_dir():
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(path, arcname=".")
        unpack = f"mkdir -p {place} && tar -C {place} --no-same-owner -xf -"
        execute(instance, unpack, stdin=archive.getvalue(), timeout=600)
    else:
        mode = path.stat().st_mode & 0o777
        unpack = f'mkdir -p "$(dirname {place})" && cat > {place} && chmod {mode:o} {place}'
        execute(instance, unpack, stdin=path.read_bytes(), timeout=600)


def inventory(instance: Instance, key: Path) -> str:
    """Return the text of an Ansible inventory (YAML, of which JSON is a part) with this one host."""
    common = " ".join(options(instance))
    variables = {
        "ansible_host": "127.0.0.1",
        "ansible_port": instance.port,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_common_args": common,
        "ansible_ssh_args": "-o ControlMaster=auto -o ControlPersist=120s",
        "ansible_ssh_pipelining": True,
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    return json.dumps({"all": {"hosts": {HOST: variables}}}, indent=2) + "\n"


def write_inventory(instance: Instance) -> None:
    instance.inventory.write_text(inventory(instance, private_key()))


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_up(instance: Instance, seconds: float, alive: Callable[[Instance], bool]) -> None:
    """Wait until the host answers over ssh.

    Raises SandboxError after that many seconds, or as soon as `alive` says that the host is gone.
    """
    deadline = time.monotonic() + seconds
    while not succeeds(argv(instance, ["true"]), timeout=40):
        if not alive(instance):
            raise SandboxError(f"the host {instance.name} ended before it answered over ssh")
        if time.monotonic() > deadline:
            raise SandboxError(f"the host {instance.name} does not answer over ssh after {seconds:.0f} s")
        time.sleep(0.3)


def wait_for_engine(instance: Instance, seconds: float = 60.0) -> None:
    """Wait until the host's own Docker Engine answers. Raises SandboxError after that many seconds."""
    loop = f"for i in $(seq {seconds * 2:.0f}); do docker info > /dev/null 2>&1 && exit; sleep 0.5; done; exit 1"
    execute(instance, loop, timeout=seconds * 2)


def set_dns(instance: Instance, server: str) -> None:
    """Make the host, and the containers that it starts from now on, ask this name server (an IP address)."""
    address = ipaddress.ip_address(server)
    # Written through, not replaced: in a container the file is a mount.
    execute(instance, "cat > /etc/resolv.conf", stdin=f"nameserver {address}\n".encode())
