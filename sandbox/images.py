# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images made from Debian packages alone, for machines that no registry answers."""

from __future__ import annotations

import dataclasses
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sandbox import apt, engine
from sandbox.process import SandboxError, as_root, run, say, step
from sandbox.state import cache_dir, digest, label

SUITE = "bookworm"
HOST_FILES = Path(__file__).parent / "host_image"
BUILD_SECONDS = 900.0

# Documentation and translations are most of a small system's files and nobody reads them here.
DPKG_OPTIONS = (
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "force-unsafe-io",
)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a root file system is made of: packages of `SUITE`, then one shell script on the result.

    `script` is called with the root's path and then `script_arguments`; `dpkg_options` come on top of `DPKG_OPTIONS`.
    """

    packages: tuple[str, ...]
    script: Path | None = None
    script_arguments: tuple[str, ...] = ()
    dpkg_options: tuple[str, ...] = ()

    def digest(self) -> str:
        """Return a name that changes with anything that goes into the root."""
        files = sorted(self.script.parent.glob("*.sh")) if self.script else []
        contents = [file.read_bytes() for file in files]
        names = [Path(argument).name for argument in self.script_arguments]
        return digest([SUITE, *DPKG_OPTIONS, *self.dpkg_options, *self.packages, *names, *contents])


TEST_BASE = Recipe(("python3", "python3-redis", "python3-yaml", "redis-server", "procps"))

HOST_PACKAGES = (
    "ca-certificates", "curl", "dbus", "docker.io", "iproute2", "iptables", "kmod", "openssh-server", "procps",
    "python3", "python3-apt", "systemd", "systemd-sysv",
)  # fmt: skip


def host_recipe(kind: str, packages: Sequence[str] = ()) -> Recipe:
    """Return how the small host of a kind is made; `packages` come on top of what both kinds hold."""
    compose = apt.fetch(engine.COMPOSE_SUITE, engine.COMPOSE_PACKAGES[0])
    return Recipe(
        packages=(*HOST_PACKAGES, *packages),
        script=HOST_FILES / "customize.sh",
        script_arguments=(kind, *(str(path) for path in compose)),
    )


def mmdebstrap_argv(recipe: Recipe, target: str, mirror: str) -> list[str]:
    """Return the command that makes the root as a tar archive or a folder named `target` ("-": tar on stdout)."""
    argv = ["mmdebstrap", "--variant=minbase", f"--include={','.join(recipe.packages)}"]
    argv += [f"--dpkgopt={option}" for option in (*DPKG_OPTIONS, *recipe.dpkg_options)]
    argv += ['--aptopt=Acquire::Languages "none"']
    if recipe.script:
        # mmdebstrap's shell puts the root's path in place of $1. The script decides itself which of apt's files stay.
        hook = f'sh {shlex.quote(str(recipe.script))} "$1" {shlex.join(recipe.script_arguments)}'
        argv += ["--skip=cleanup/apt", f"--customize-hook={hook}"]
    return [*argv, SUITE, target, mirror]


def make_image(recipe: Recipe, tag: str, changes: Sequence[str] = ()) -> None:
    """Make an image out of a recipe; `changes` are Dockerfile lines for its configuration.

    The archive goes from one program to the other through a pipe, never to the disk.
    """
    engine.ensure()
    apt.install("mmdebstrap")
    options = [word for change in (*changes, "LABEL " + label()) for word in ("--change", change)]
    log_path = cache_dir() / "mmdebstrap.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with step(f"make the image {tag}"), open(log_path, "wb") as log:
        make = subprocess.Popen(
            as_root(mmdebstrap_argv(recipe, "-", apt.mirror())),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        load = subprocess.Popen(
            [*engine.docker_command(), "import", *options, "-", tag],
            stdin=make.stdout, stdout=subprocess.DEVNULL, stderr=log,
        )  # fmt: skip
        if make.stdout:
            make.stdout.close()
        codes = make.wait(BUILD_SECONDS), load.wait(BUILD_SECONDS)
    if any(codes):
        if not codes[1]:
            run([*engine.docker_command(), "image", "rm", tag])
        raise SandboxError(f"the image {tag} could not be made:\n{log_path.read_text(errors='replace')[-2000:]}")


def test_image() -> str:
    """Return the tag of the image that integration tests run their containers from, made when it is missing."""
    tag = f"headroom-test-base:{SUITE}"
    if not engine.exists("image", tag):
        make_image(TEST_BASE, tag, ['CMD ["sleep", "infinity"]'])
    return tag


def host_image() -> str:
    """Return the tag of the container kind's host image, made when it is missing or its recipe has changed."""
    recipe = host_recipe("container")
    tag = f"headroom-host:{recipe.digest()}"
    if not engine.exists("image", tag):
        make_image(recipe, tag, ['ENTRYPOINT ["/usr/local/sbin/headroom-init"]', "ENV container=docker"])
    return tag


def remove_own() -> None:
    """Remove every image that this cache's sandbox made, but for those that somebody else's container runs from."""
    listing = ["image", "ls", "--filter", f"label={label()}", "--format", "{{.Repository}}:{{.Tag}}"]
    for tag in engine.docker(*listing).split():
        try:
            engine.docker("image", "rm", tag)
        except SandboxError as error:
            say(f"the image {tag} stays: {str(error).splitlines()[-1]}")
