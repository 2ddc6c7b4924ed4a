# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python3 -m sandbox.stack: put the reference stack onto a small host."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sandbox import host, ssh, stack_images, state
from sandbox.process import SandboxError, say
from sandbox.stack import deploy
from sandbox.stack.host import bring_up


def main(argv: Sequence[str] | None = None) -> int:
    top = argparse.ArgumentParser(prog="python3 -m sandbox.stack", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("images", help="build the images of the stack and of the stand-in providers")
    for command, text in (
        ("up", "start a host of that name if there is none, with the stack running and healthy on it"),
        ("load", "bring the images onto the host, and no more"),
        ("deploy", "build, load, copy, start, wait until healthy; print the address of the API"),
        ("down", "stop the stack on the host and remove its containers; volumes stay"),
    ):
        sub = commands.add_parser(command, help=text, description=text)
        sub.add_argument("--name", default="smallhost", help="name of the host")
        if command == "up":
            sub.add_argument("--kind", choices=host.KINDS, default="container")
    options = top.parse_args(argv)
    try:
        if options.command == "images":
            stack_images.build_all()
            return 0
        if options.command == "up":
            bring_up(options.name, options.kind)
            return 0
        instance = state.require(options.name)
        if options.command == "load":
            stack_images.build_all()
            deploy.load_images(instance)
        elif options.command == "deploy":
            deploy.deploy(options.name)
            with deploy.api_url(instance) as url:
                print(url)
        else:
            ssh.execute(instance, deploy.compose("down 2>&1"))
    except SandboxError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
