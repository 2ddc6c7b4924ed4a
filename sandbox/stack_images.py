# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of the reference stack and of the stand-in providers, built on the local engine.

No image here takes a public name: what the application calls `python:3.11-slim` is `headroom-sandbox/python:3.11-slim`
on this machine, because it trusts the sandbox's certificate authority. Only the small host, which is thrown away, knows
these images under the public names.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from sandbox import engine, images
from sandbox.process import SandboxError, run, step
from sandbox.providers import authority
from sandbox.state import cache_dir, label

PREFIX = "headroom-sandbox/"
PYTHON_SLIM, PYTHON, REDIS = "python:3.11-slim", "python:3.11", "redis:7-alpine"
PROVIDERS = PREFIX + "providers"
PROJECT = "deploy"
"""The Compose project's name: that of the folder its file is in, as the file itself names none."""
DOCKERFILES = {"bot": "Dockerfile.bot", "api": "Dockerfile.api", "worker-image": "Dockerfile.worker"}

HERE = Path(__file__).parent
APPLICATION = HERE / "stack" / "imagebot"
LITTER = ("__pycache__", ".*_cache", "*.pyc", ".env")
BASE_FILES = HERE / "stack" / "base"
MACHINE_CERTIFICATES = Path("/usr/local/share/ca-certificates")
BUILD_SECONDS = 900.0


def local(name: str) -> str:
    """Return the name on this machine of an image that the small host knows as `name`."""
    return PREFIX + name


def service_image(service: str) -> str:
    """Return the name that Compose gives the image of a service which has only `build:`."""
    return f"{PROJECT}-{service}"


def host_names() -> dict[str, str]:
    """Return all images of the stack: name on this machine -> name on the small host."""
    names = [PYTHON_SLIM, PYTHON, REDIS, *(service_image(service) for service in DOCKERFILES)]
    return {local(name): name for name in names}


def rebase(dockerfile: str, bases: Mapping[str, str]) -> str:
    """Return a Dockerfile's text with its `FROM` images replaced by `bases`; one that is not in it is an error.

    Raises SandboxError for an image that is not in `bases` and no stage of the file.
    """
    stages: set[str] = set()

    def replace(match: re.Match[str]) -> str:
        head, name, tail = match.groups()
        if stage := re.search(r"(?i)\bAS\s+(\S+)", tail):
            stages.add(stage[1])
        if name in stages:
            return match[0]
        if name not in bases:
            raise SandboxError(f"the sandbox has no base image for FROM {name}")
        return f"{head}{bases[name]}{tail}"

    return re.sub(r"(?im)^(FROM\s+)(\S+)(.*)$", replace, dockerfile)


def build(tag: str, context: Path, dockerfile: str, **arguments: str) -> None:
    """Build an image with the classic builder, which every engine has, on this machine's network.

    `dockerfile` is the file's text. Raises SandboxError with the end of the builder's output.
    """
    options = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    with tempfile.NamedTemporaryFile("w", suffix=".Dockerfile") as file:
        file.write(dockerfile)
        file.flush()
        run(
            [*engine.docker_command(), "build", "--quiet", "--network", "host", "--label", label(), "--tag", tag,
             *options, "--file", file.name, str(context)],
            env={"DOCKER_BUILDKIT": "0"}, timeout=BUILD_SECONDS,
        )  # fmt: skip


def _debian() -> str:
    """Return a Debian root to start from, made here when it is missing."""
    recipe = images.Recipe(("ca-certificates",))
    tag = f"{PREFIX}debian:{recipe.digest()}"
    if not engine.exists("image", tag):
        images.make_image(recipe, tag, ['CMD ["bash"]'])
    return tag


def _base_context(context: Path) -> None:
    """Fill a build context with the base images' files and the certificates that they shall trust."""
    shutil.copytree(BASE_FILES, context, dirs_exist_ok=True)
    certificates = context / "certificates"
    certificates.mkdir()
    shutil.copy(authority.ensure() / "authority.crt", certificates / "headroom-sandbox.crt")
    # A machine behind a proxy that opens TLS has its certificate here; pip inside the images needs it as well.
    for certificate in MACHINE_CERTIFICATES.glob("*.crt"):
        shutil.copy(certificate, certificates)


def _build_base(name: str, file: str, context: Path, base: str) -> None:
    with step(f"build {local(name)}"):
        build(local(name), context, (BASE_FILES / file).read_text(), BASE=base)


def build_bases() -> None:
    """Build what the application calls python:3.11-slim (first: the others need it) and redis:7-alpine."""
    engine.ensure()
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor() as pool:
        context = Path(folder)
        _base_context(context)
        debian = _debian()
        work = [
            pool.submit(_build_base, PYTHON_SLIM, "python-slim.Dockerfile", context, debian),
            pool.submit(_build_base, REDIS, "redis.Dockerfile", context, debian),
        ]
        for job in work:
            job.result()


@contextlib.contextmanager
def application() -> Iterator[Path]:
    """Yield a copy of the application without what linters and Python leave in a checkout."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(APPLICATION, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*LITTER))
        yield Path(folder)


def build_service(service: str) -> None:
    """Build one service of the application as its Dockerfile says."""
    bases = {name: local(name) for name in (PYTHON_SLIM, PYTHON)}
    text = (APPLICATION / "deploy" / DOCKERFILES[service]).read_text()
    with step(f"build the stack's {service}"), application() as context:
        build(local(service_image(service)), context, rebase(text, bases))


def build_providers() -> None:
    """Build the image of the stand-in providers. It needs `build_bases` done."""
    with step("build the stand-in providers"), tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        package = context / "sandbox"
        shutil.copytree(HERE / "providers", package / "providers", ignore=shutil.ignore_patterns("__pycache__"))
        (package / "__init__.py").touch()
        for name in ("providers.crt", "providers.key"):
            shutil.copy(authority.ensure() / name, context)
            os.chmod(context / name, 0o600)
        build(PROVIDERS, context, (HERE / "providers" / "Dockerfile").read_text(), BASE=local(PYTHON_SLIM))


@contextlib.contextmanager
def only_builder() -> Iterator[None]:
    """Wait until no other process of this cache builds: what it has built comes from the engine's cache then."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with open(cache_dir() / "images.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build_all() -> None:
    """Build everything; what has not changed comes from the engine's cache. Independent images build side by side."""

    def slim_services() -> None:
        # The API's first layers are the bot's: one after the other they are built once.
        build_service("bot")
        build_service("api")
        build_providers()

    def full_services() -> None:
        _build_base(PYTHON, "python.Dockerfile", BASE_FILES, local(PYTHON_SLIM))
        build_service("worker-image")

    with only_builder():
        build_bases()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            work = [pool.submit(slim_services), pool.submit(full_services)]
        for job in work:
            job.result()
