# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python3 -m sandbox: start, use and remove a throwaway small host."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from sandbox import engine, host, images, ssh, state
from sandbox.process import SandboxError, say


def parser() -> argparse.ArgumentParser:
    """Return the command line: one subcommand for each thing to do with a host."""
    top = argparse.ArgumentParser(prog="python3 -m sandbox", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)

    def add(command: str, text: str, named: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(command, help=text, description=text)
        if named:
            sub.add_argument("--name", default="smallhost", help="name of the host")
        return sub

    up = add("up", "start a host, or keep the one of that name that runs")
    up.add_argument("--kind", choices=host.KINDS, default="container")
    up.add_argument("--memory", default=host.MEMORY, help="RAM, such as 2900m")
    up.add_argument("--cpus", type=int, default=host.CPUS, help="cores; at most what this machine has")
    up.add_argument("--template", help="start with the images and volumes of this saved template")
    up.add_argument("--dns", metavar="IP", help="name server of the host and its containers")
    add("down", "remove a host with all its data")
    run = add("run", "run a command on the host")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    push = add("push", "copy a file, or the contents of a folder, to the host")
    push.add_argument("source")
    push.add_argument("target")
    add("inventory", "print the path of an Ansible inventory with the host")
    add("status", "list the hosts", named=False)
    save = add("save-template", "keep the images and volumes of the host's engine for later hosts")
    save.add_argument("template")
    base = add("base-image", "make an image that others build on, and print its tag", named=False)
    base.add_argument("image", choices=("host", "test"))
    add("engine", "see to it that this machine has a Docker Engine and Compose", named=False)
    add("clean", "remove every host, template, image and cache that the sandbox made", named=False)
    return top


def print_status() -> None:
    for instance, running in host.status():
        size = f"{instance.memory} {instance.cpus} cores"
        print(f"{instance.name} {instance.kind} {'up' if running else 'down'} {size} ssh 127.0.0.1:{instance.port}")


def act(arguments: argparse.Namespace) -> int:
    """Do what the command line asks and return the exit code."""
    a = arguments
    if a.command == "up":
        host.up(a.name, a.kind, a.memory, a.cpus, a.template, a.dns)
    elif a.command == "down":
        host.down(a.name)
    elif a.command == "run":
        words = a.words[1:] if a.words[:1] == ["--"] else a.words
        return subprocess.run(ssh.argv(state.require(a.name), words), check=False).returncode
    elif a.command == "push":
        ssh.push(state.require(a.name), a.source, a.target)
    elif a.command == "inventory":
        print(state.require(a.name).inventory)
    elif a.command == "status":
        print_status()
    elif a.command == "save-template":
        host.save_template(a.name, a.template)
    elif a.command == "base-image":
        engine.ensure()
        print(images.host_image() if a.image == "host" else images.test_image())
    elif a.command == "engine":
        engine.ensure()
    elif a.command == "clean":
        host.clean()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    try:
        return act(parser().parse_args(argv))
    except SandboxError as error:
        say(f"error: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
