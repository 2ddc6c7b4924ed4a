# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python3 -m sandbox.providers: start, ask and stop the stand-in providers."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from sandbox.process import SandboxError, say
from sandbox.providers import container


def main(argv: Sequence[str] | None = None) -> int:
    top = argparse.ArgumentParser(prog="python3 -m sandbox.providers", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    for command, text in (
        ("up", "start them, and print the address of their control"),
        ("down", "remove them"),
        ("counters", "print the calls received, by kind"),
        ("reset", "set the counters to nothing"),
    ):
        sub = commands.add_parser(command, help=text, description=text)
        sub.add_argument("--name", default="smallhost", help="name of the host that they serve")
        if command == "up":
            sub.add_argument(
                "--seed", type=int, default=1, help="of the delays and of what a provider leaves to chance"
            )
            sub.add_argument("--latency-scale", type=float, default=1.0, help="factor on all delays")
    options = top.parse_args(argv)
    try:
        if options.command == "up":
            print(container.up(options.name, options.seed, options.latency_scale))
        elif options.command == "down":
            container.down(options.name)
        elif options.command == "counters":
            print(json.dumps(container.call(options.name, "GET", "/counters"), indent=2))
        else:
            container.call(options.name, "POST", "/reset", {})
    except SandboxError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
