# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Python imports at its start in the application's containers: the parts that the environment asks for.

Lies first on PYTHONPATH, so Python's `site` module imports it before any other `sitecustomize`. A `sitecustomize` that
stands further on `sys.path` (the image's, the application's, Debian's) runs after it, as it would without this one.
Whatever fails in a part of ours costs one line on standard error and nothing else. Runs on Python 3.8 and later;
3.6 and 3.7 start without the parts.
"""

import os
import sys

# The variable that asks for a part, and the module that is the part: importing it starts it.
PARTS = (("HEADROOM_REDIRECT", "headroom_redirect"), ("HEADROOM_RUNTIME", "headroom_runtime"))
OLDEST = (3, 8)


def log(text: str) -> None:
    """One line on standard error, straight to the descriptor: `sys.stderr` may be missing or replaced."""
    line = f"headroom: {' '.join(text.split())}\n"
    try:
        os.write(2, line.encode("utf-8", "backslashreplace"))
    except OSError:
        return  # closed: there is nobody to tell


def start(module: str) -> None:
    """Import one part. A part that fails, in whatever way, is left out."""
    if sys.version_info < OLDEST:
        log(f"{module} was not applied: it needs Python 3.8 or later, this is {sys.version.split()[0]}")
        return
    try:
        __import__(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        log(f"{module} was not applied: {type(error).__name__}: {error}")


def start_parts() -> None:
    """Start what the environment asks for."""
    for variable, module in PARTS:
        if os.environ.get(variable):
            start(module)


def run_next() -> None:
    """Run the `sitecustomize` that this one hides, and leave its name to it. Raises whatever that one raises.

    `site` then says of an error what it would have said without this file.
    """
    from importlib.machinery import PathFinder

    here = os.path.realpath(os.path.dirname(os.path.abspath(__file__)))
    further = [entry for entry in sys.path if os.path.realpath(entry) != here]
    spec = PathFinder.find_spec("sitecustomize", further)
    if spec is None or spec.loader is None:
        return
    from importlib.util import module_from_spec

    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    start_parts()
    run_next()
