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
    up = commands.add_parser("up", help="build and start them, and print the address of their control")
    up.add_argument("--seed", type=int, default=1, help="of the delays and of what a provider chooses by chance")
    up.add_argument("--latency-scale", type=float, default=1.0, help="factor on all delays")
    commands.add_parser("down", help="remove them")
    commands.add_parser("counters", help="print the calls received, by kind")
    commands.add_parser("reset", help="set the counters to nothing")
    options = top.parse_args(argv)
    try:
        if options.command == "up":
            print(container.up(options.seed, options.latency_scale))
        elif options.command == "down":
            container.down()
        elif options.command == "counters":
            print(json.dumps(container.call("GET", "/counters"), indent=2))
        else:
            container.call("POST", "/reset", {})
    except SandboxError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
