# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian packages: what this machine lacks, and single packages of another suite."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sandbox.process import SandboxError, as_root, run, step, succeeds
from sandbox.state import cache_dir

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def installed(package: str) -> bool:
    """Tell whether dpkg has the package installed on this machine."""
    try:
        return run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package]) == "installed"
    except SandboxError:
        return False


def install(*packages: str) -> None:
    """Install those of the packages that are missing; does nothing when none is.

    A path to a .deb file counts as missing: the caller has looked already.
    """
    missing = [package for package in packages if package.endswith(".deb") or not installed(package)]
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise SandboxError(f"this machine has no apt-get; install these yourself: {' '.join(missing)}")
    command = [
        "env", "DEBIAN_FRONTEND=noninteractive",
        "apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing,
    ]  # fmt: skip
    with step(f"install {' '.join(Path(name).name for name in missing)}"):
        # A machine that was just set up has no package lists; one with lists need not fetch them again.
        if not succeeds(as_root(command), timeout=600):
            run(as_root(["apt-get", "update", "--quiet"]), timeout=300)
            run(as_root(command), timeout=600)


def parse_mirror(index_targets: str) -> str:
    """Pick the Debian mirror out of lines `URI ORIGIN COMPONENT`, as `apt-get indextargets` prints them.

    The archive of security updates is left out: it holds no whole suite. Raises SandboxError when there is none.
    """
    for line in index_targets.splitlines():
        words = line.split()
        if len(words) == 3 and words[1:] == ["Debian", "main"]:
            return words[0]
    raise SandboxError(
        "apt on this machine knows no Debian archive to build the sandbox's images from; "
        "name one with the environment variable HEADROOM_MIRROR"
    )


def mirror() -> str:
    """Return the address of a Debian archive: HEADROOM_MIRROR, or the one that this machine's own apt uses."""
    if chosen := os.environ.get("HEADROOM_MIRROR"):
        return chosen
    argv = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(COMPONENT)", "Created-By: Packages"]
    lines = run(argv)
    if not lines.strip():
        with step("apt-get update"):
            run(as_root(["apt-get", "update", "--quiet"]), timeout=300)
        lines = run(argv)
    return parse_mirror("\n".join(line for line in lines.splitlines() if "-security" not in line))


def apt_options(root: Path) -> list[str]:
    """Return the options that make apt work on a root of its own: nothing of the machine's own lists changes."""
    return [
        option
        for setting in (
            f"Dir::State={root}/state",
            "Dir::State::status=/var/lib/dpkg/status",
            f"Dir::Cache={root}/cache",
            f"Dir::Etc::SourceList={root}/sources.list",
            "Dir::Etc::SourceParts=-",
            "Dir::Etc::Preferences=-",
            "Dir::Etc::PreferencesParts=-",
            "Acquire::Languages=none",
            "APT::Sandbox::User=",
        )
        for option in ("-o", setting)
    ]


def fetch(suite: str, *packages: str) -> list[Path]:
    """Return the .deb files of these packages of a Debian suite, downloading those that are not in the cache."""
    root = cache_dir() / "apt" / suite
    found = [_cached(root, package) for package in packages]
    if all(found):
        return [path for path in found if path]
    for folder in ("state/lists/partial", "cache/archives/partial", "packages"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n")
    with step(f"fetch {' '.join(packages)} of {suite}"):
        run(["apt-get", *apt_options(root), "update", "--quiet"], timeout=300)
        run(["env", "--chdir", str(root / "packages"), "apt-get", *apt_options(root), "download", *packages])
    return [path for package in packages if (path := _cached(root, package))]


def _cached(root: Path, package: str) -> Path | None:
    return next(iter(sorted((root / "packages").glob(f"{package}_*.deb"))), None)
