# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python3 -m release: what has to be right before the collection is published."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from release import matrix, package, pages, readmes
from sandbox import host
from sandbox.environment import ROOT
from sandbox.process import SandboxError, say
from sandbox.stack.host import bring_up

HOST = "matrix"


def check() -> int:
    """Everything that Galaxy, ansible-builder and antsibull-docs have to say; 1 when it is anything."""
    found = [f"{file.relative_to(ROOT)} is not what its role's arguments say; run: python3 -m release readmes"
             for file in readmes.outdated(ROOT / "roles")]  # fmt: skip
    found += package.check_import() + package.check_execution_environment() + pages.check()
    print("\n".join(found) or "The package is accepted by Galaxy's importer, ansible-builder and antsibull-docs.")
    return 1 if found else 0


def run_matrix(options: argparse.Namespace) -> int:
    """Print one line for each version; 1 when one failed, or could not be run here."""
    name = options.host or HOST
    outcomes = []
    if options.part != "controllers":
        outcomes += show(matrix.targets(say))
    if options.part != "targets":
        bring_up(name)
        try:
            outcomes += show(matrix.controllers(name, say, options.core))
        finally:
            if not options.host:
                host.down(name)
    passed = sum(outcome.result == "passed" for outcome in outcomes)
    print(f"{passed} of {len(outcomes)} passed")
    return 0 if passed == len(outcomes) else 1


def show(outcomes: Iterable[matrix.Outcome]) -> list[matrix.Outcome]:
    """Print each outcome as soon as it is there, and return them all."""
    seen = []
    for outcome in outcomes:
        print(outcome, flush=True)
        seen.append(outcome)
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m release", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("readmes", help="write the README of every role from its arguments")
    commands.add_parser("check", help="ask Galaxy's importer, ansible-builder and antsibull-docs")
    pages_parser = commands.add_parser("pages", help="make a page for each module and role, as HTML")
    pages_parser.add_argument("--out", type=Path, default=Path("headroom-pages"), help="folder (default: %(default)s)")
    build_parser = commands.add_parser("build", help="build the package from what git knows")
    build_parser.add_argument("--out", type=Path, default=Path(), help="folder (default: this one)")
    matrix_parser = commands.add_parser("matrix", help="run stage 1 from the package with every ansible-core")
    matrix_parser.add_argument("part", nargs="?", choices=["controllers", "targets"], help="only this part")
    matrix_parser.add_argument("--core", action="append", choices=list(matrix.CORES), help="only this ansible-core")
    matrix_parser.add_argument("--host", help="a sandbox host that is up with the reference stack, and stays up")
    options = parser.parse_args()
    try:
        if options.command == "readmes":
            for file in readmes.write(ROOT / "roles"):
                print(file.relative_to(ROOT))
        elif options.command == "check":
            return check()
        elif options.command == "pages":
            print(pages.make(options.out))
        elif options.command == "build":
            print(package.build(options.out))
        else:
            return run_matrix(options)
    except (SandboxError, LookupError) as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
