# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts the sampler: python3 -I -S -B start.py CONFIG [check|access-log].

`check` loads everything and looks at the configuration. Run without -B and with -X pycache_prefix before the start of
the service, it leaves compiled code behind: compiling in the sampler's own process would cost it 2 MB for good.
"""

from __future__ import annotations

import sys

sys.path.insert(0, __file__.rpartition("/")[0] or ".")

from headroom_sampler.files import content
from headroom_sampler.plain_json import loads


def main(path: str, action: str = "run") -> None:
    """Do what the command line asks for."""
    config = loads(content(path).decode())
    if action == "run":
        from headroom_sampler import sampler

        sampler.run(config)
    elif action == "access-log":
        from headroom_sampler import access_log

        access_log.main(config["users"]["path"], config["users"]["pattern"], config["state_dir"] + "/users.json")
    else:
        check(config)


def check(config: dict) -> None:
    """Raise ValueError or re.error for a configuration that cannot work; load, and so compile, all that may be used."""
    from headroom_sampler import access_log, probe, sampler  # noqa: F401

    for entry in config["probes"]:
        probe.split(entry["url"])
    access_log.re.compile(config["users"].get("pattern", ""))


if __name__ == "__main__":
    main(*sys.argv[1:])
