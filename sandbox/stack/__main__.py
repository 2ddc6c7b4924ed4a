# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python3 -m sandbox.stack: put the reference stack onto a host that runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sandbox import ssh, stack_images, state
from sandbox.process import SandboxError, say
from sandbox.stack import deploy


def main(argv: Sequence[str] | None = None) -> int:
    top = argparse.ArgumentParser(prog="python3 -m sandbox.stack", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("images", help="build the images of the stack and of the stand-in providers")
    for command, text in (
        ("load", "bring the images onto the host, and no more"),
        ("deploy", "build, load, copy, start, wait until healthy; print the address of the API"),
        ("down", "stop the stack on the host and remove its containers; volumes stay"),
    ):
        commands.add_parser(command, help=text).add_argument("--name", default="smallhost", help="name of the host")
    options = top.parse_args(argv)
    try:
        if options.command == "images":
            stack_images.build_all()
            return 0
        instance = state.require(options.name)
        if options.command == "load":
            stack_images.build_all()
            deploy.load_images(instance)
        elif options.command == "deploy":
            deploy.deploy(options.name)
            if instance.kind == "container":
                print(deploy.api_url(instance))
        else:
            ssh.execute(instance, deploy.compose("down 2>&1"))
    except SandboxError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
