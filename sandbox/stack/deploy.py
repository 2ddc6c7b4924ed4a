# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Putting the reference stack onto a small host, the way its authors would: copy, `.env`, `docker compose up`."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator

from sandbox import container, engine, ssh, stack_images, state
from sandbox.process import SandboxError, step
from sandbox.providers import container as providers
from sandbox.stack import API_PORT, COMPOSE_FILE, TARGET
from sandbox.state import Instance

LOAD_SECONDS = 900.0
HEALTHY_SECONDS = 300.0

# Values for the application's `.env`: the stand-ins take any key of the right shape.
SETTINGS = {
    "BOT_TOKEN": "424242:SANDBOX-not-a-token-of-any-real-bot-00",
    "OPENAI_API_KEY": "sk-sandbox",
    "OPENAI_MODEL": "gpt-4o-mini",
    "DEEPL_API_KEY": "sandbox:fx",
    "FAL_KEY": "sandbox:sandbox",
    "FAL_MODEL": "fal-ai/flux/schnell",
    "FAL_SEED": "42",
    "REDIS_URL": "redis://redis:6379/0",
    "DATABASE_URL": "sqlite:////app/data/bot.db",
    "QUEUE_NAME": "img_queue",
    # httpx takes the certificates from here; requests and aiogram bring certifi's list, which the base images extend.
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
    # An emulated or crowded machine takes longer than uvicorn's 5 s to import the application: its supervisor would
    # kill and restart the workers for ever.
    "UVICORN_TIMEOUT_WORKER_HEALTHCHECK": "120",
    "TZ": "UTC",
}


def dotenv() -> str:
    """Return the text of the application's `.env` on a sandbox host."""
    return "".join(f"{name}={value}\n" for name, value in SETTINGS.items())


def compose(command: str) -> str:
    """Return the shell line that runs a Compose command on the host as the stack's owner would."""
    return f"cd {TARGET}/deploy && docker compose -f {COMPOSE_FILE} {command}"


def missing_images(here: dict[str, str], there: dict[str, str], names: dict[str, str]) -> list[str]:
    """Return the names on this machine of images that the host has not got, or has in another version.

    `here` and `there`: name -> image id; `names`: name here -> name there.
    """
    return [name for name, public in names.items() if there.get(public) != here.get(name)]


def _ids(listing: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in listing.splitlines() if " " in line)


def _tagged(name: str) -> str:
    return name if ":" in name else f"{name}:latest"


LISTING = "--no-trunc --format '{{.Repository}}:{{.Tag}} {{.ID}}'"


def load_images(instance: Instance) -> bool:
    """Bring those of the stack's images and their bases that the host lacks onto it, under their public names.

    Return whether there were any.
    """
    names = {_tagged(name): _tagged(public) for name, public in stack_images.host_names().items()}
    here = _ids(engine.docker("image", "ls", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"))
    there = _ids(ssh.execute(instance, f"docker image ls {LISTING}"))
    missing = missing_images(here, there, names)
    if not missing:
        return False
    with step(f"load {len(missing)} images on {instance.name}"):
        _transfer(instance, missing)
        tags = [f"docker tag {name} {names[name]} && docker rmi {name} > /dev/null" for name in missing]
        ssh.execute(instance, " && ".join(tags))
    return True


def _transfer(instance: Instance, images: list[str]) -> None:
    """Stream the images from this machine's engine into the host's, through no file."""
    save = subprocess.Popen([*engine.docker_command(), "save", *images], stdout=subprocess.PIPE)
    load = subprocess.Popen(
        ssh.argv(instance, ["docker load --quiet"]),
        stdin=save.stdout,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    if save.stdout:
        save.stdout.close()
    _unused, errors = load.communicate(timeout=LOAD_SECONDS)
    if save.wait() or load.returncode:
        raise SandboxError(f"the host could not load the images: {errors.decode(errors='replace')[-1000:]}")


def copy_application(instance: Instance) -> None:
    """Put the application's files, and a `.env` for the stand-ins, into their place."""
    with stack_images.application() as folder:
        ssh.push(instance, str(folder), TARGET)
    if instance.kind == "vm":
        # An emulated processor is busy for seconds with each health check: they would be late, and all that it does.
        slower = "s/^( +interval:) 10s/\\1 60s/; s/^( +timeout:) [0-9]+s/\\1 50s/"
        ssh.execute(instance, f"sed -E -i '{slower}' {TARGET}/deploy/docker-compose*.yml")
    ssh.execute(instance, f"umask 077 && cat > {TARGET}/.env", stdin=dotenv().encode())


def use_stand_ins(instance: Instance) -> None:
    """Make the host resolve the providers' names through the stand-ins, and every other name as before.

    Containers get the first server only where the second is a loopback address: the application reaches nothing but
    the stand-ins then.
    """
    first = f"nameserver {providers.address(instance.name)}"
    others = engine.SUBNET.rpartition(".")[0].replace(".", "[.]")
    keep = f"grep -v '^nameserver {others}[.]' /etc/resolv.conf > /run/resolv.rest || true"
    # Written through, not replaced: in a container the file is a mount.
    put = f"{{ echo '{first}'; cat /run/resolv.rest; }} > /run/resolv.new && cat /run/resolv.new > /etc/resolv.conf"
    ssh.execute(instance, f"{keep}; {put}")


def states(listing: str) -> dict[str, str]:
    """Return service -> health, or state where it has no health check, from `docker compose ps --format json`."""
    found = [json.loads(line) for line in listing.splitlines() if line.startswith("{")]
    return {entry["Service"]: entry.get("Health") or entry["State"] for entry in found}


def wait_until_healthy(instance: Instance, seconds: float = HEALTHY_SECONDS) -> dict[str, str]:
    """Wait until every container of the stack is healthy (running, where there is no check). Return their states.

    Raises SandboxError after `seconds` with the logs of those that are not.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = states(ssh.execute(instance, compose("ps --all --format json 2> /dev/null")))
        bad = sorted(service for service, state in found.items() if state not in ("healthy", "running"))
        if found and not bad:
            return found
        if time.monotonic() > deadline:
            logs = ssh.execute(instance, compose(f"logs --tail 20 {' '.join(bad)} 2>&1"))
            raise SandboxError(f"not healthy after {seconds:.0f} s: {found}\n{logs}")
        time.sleep(1)


@contextlib.contextmanager
def api_url(instance: Instance) -> Iterator[str]:
    """Yield the address of the application's API as this machine reaches it: through ssh where it has no other way."""
    if instance.kind == "container":
        yield f"http://{container.address(instance)}:{API_PORT}"
        return
    port = ssh.free_port()
    forward = ["-N", "-L", f"127.0.0.1:{port}:127.0.0.1:{API_PORT}"]
    # The options stand before the address, which is the last word.
    *options, target = ssh.argv(instance)
    tunnel = subprocess.Popen([*options, *forward, target], stdin=subprocess.DEVNULL)
    try:
        time.sleep(2.0)
        yield f"http://127.0.0.1:{port}"
    finally:
        tunnel.terminate()
        tunnel.wait()


def deploy(name: str) -> Instance:
    """Bring the reference stack up on the host of that name. Safe to repeat: what is in place stays."""
    instance = state.require(name)
    stack_images.build_all()
    providers.up(name)
    load_images(instance)
    copy_application(instance)
    use_stand_ins(instance)
    with step("docker compose up"):
        ssh.execute(instance, compose("up -d --no-build 2>&1"), timeout=300)
    with step("wait until the stack is healthy"):
        wait_until_healthy(instance)
    return instance
