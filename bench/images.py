# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What compose_image does on real engines: the reference stack, Dockerfiles collected from public repositories, faults.

    python3 bench/images.py reference --name NAME    on a sandbox host with the stack (python3 -m sandbox.stack up)
    python3 bench/images.py collected FOLDER --name NAME [CASE ...]
    python3 bench/images.py full-disk --name NAME

`collected` takes the repositories of SOURCES from FOLDER/<owner>__<name>, and clones them there where they are missing.
The results are kept in FOLDER/results.json: an interrupted run goes on where it was, a named case is done again. Each
part ends with 1 when one of its expectations does not hold. The base images are the sandbox's stand-ins: any tag of the
official Python image is its Python 3.11, the full ones with the packages that the official full ones have.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox import playbook, ssh, state
from sandbox.stack import deploy
from sandbox.state import Instance

PROJECT = "/opt/imagebot/deploy"
# Built with what Debian's mirror and PyPI give; the sandbox's containers reach them through the host's network only.
NETWORK = "host"

# (repository, commit, Dockerfile, port that answers HTTP or None). Chosen for their kinds: full and slim bases,
# compilers, apt and pip in several forms, poetry, a user of its own, a health check; Python 3.11 must do.
SOURCES: dict[str, tuple[str, str, str, int | None]] = {
    "my_telegram_bot": ("oxunjon-sh/my_telegram_bot", "0e4b43ab5123a36b53a308e53f60e2ab3b043136", "Dockerfile", None),
    "ResuMentor": ("icebear-py/ResuMentor", "ff2b404f38a64a1dfdd067f7b28a287ad2c10696", "Dockerfile", 8000),
    "discord-bot": ("tomo-local/discord-bot", "ff1cee2ea6de9f34dba644af6aa2646fcb22d0dd", "Dockerfile", None),
    "CUMN-REST-API": ("alextorsar/CUMN-REST-API", "2e21414a93822cca85431433378c6603f17dfbc3", "dockerfile", None),
    "mxrouter": (
        "Matheus-Matta/mxrouter-tms-app", "382153cc4899d55a2585c1f916bb26d9fc9584e2", "docker/worker.Dockerfile", None,
    ),
    "test_app": ("PTavadian/test_app", "1ba1f1ca529fc46a331c462d359780a3ed3c709b", "Dockerfile", None),
    "GPT3-Telegram-Chatbot": (
        "shaman2789/GPT3-Telegram-Chatbot", "96316016f956cccb58cf0a5b92526d4a4e020b48", "Dockerfile", None,
    ),
    "WeatherPredictor": (
        "awaistahseen009/WeatherPredictorAndReportGenerator", "fe619ec4a5f71c1832e714218c41f23acac6500e",
        "Dockerfile", None,
    ),
    "base-api": ("moshelm/base-api", "bd0717c49974af97b1de77fec0002635ff8745c0", "Dockerfile", 8080),
    "vt_polls_bot": ("Arlet2/vt_polls_bot", "033882bf5990bd8aad0476c4d8684cc6cedbb978", "Dockerfile", None),
    "goooo-bot": ("AlexTsr/goooo-bot-v0.1", "240f009e4f6151ab49c510c7246a090d25677d08", "Dockerfile", None),
}  # fmt: skip
# What makes the official full image of Python so large: the packages of buildpack-deps:bookworm, on which it is built
# (https://github.com/docker-library/buildpack-deps, debian/bookworm). The stack's own stand-in has a few of them only.
# Without mercurial: Debian's Python, which is the image's own only in the stand-in, would see it as a package.
FULL_PACKAGES = """
    autoconf automake bzip2 curl default-libmysqlclient-dev dpkg-dev file g++ gcc git git-lfs gnupg imagemagick
    libbz2-dev libc6-dev libcurl4-openssl-dev libdb-dev libevent-dev libffi-dev libgdbm-dev libglib2.0-dev libgmp-dev
    libjpeg-dev libkrb5-dev liblzma-dev libmagickcore-dev libmagickwand-dev libmaxminddb-dev libncurses-dev libpng-dev
    libpq-dev libreadline-dev libsqlite3-dev libssl-dev libtool libwebp-dev libxml2-dev libxslt1-dev libyaml-dev make
    netbase openssh-client patch procps sq subversion unzip wget xz-utils zlib1g-dev
"""
FULL = "headroom-bench/python:3.11"
# These two are to be left alone: Alpine, and several stages already.
LEFT_ALONE = ("vt_polls_bot", "goooo-bot")


class Expected:
    """Collects what did not hold, and tells as it goes."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def that(self, holds: bool, what: str) -> None:
        """Note whether something holds."""
        print(f"{'ok  ' if holds else 'FAIL'} {what}", flush=True)
        if not holds:
            self.failed.append(what)


def on(host: Instance, command: str, seconds: float = 600) -> str:
    """Run a shell command on the host."""
    return ssh.execute(host, command, timeout=seconds)


def module(host: Instance, check: bool = False, **options: Any) -> dict[str, Any]:
    """Run compose_image on the host; returns its result."""
    arguments = {"build_network": NETWORK, "undo_key": "stage2.item04", **options}
    if options.get("state") == "absent":
        del arguments["build_network"]
    play = [
        {
            "hosts": "all",
            "gather_facts": False,
            "tasks": [{"smallhost.headroom.compose_image": arguments, "register": "r"}, {"debug": {"var": "r"}}],
        }
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "play.json"
        path.write_text(json.dumps(play))
        argv = ["ansible-playbook", "-i", str(state.instance_dir(host.name) / "inventory.yml"), str(path)]
        done = subprocess.run([*argv, *(["--check"] if check else [])], capture_output=True, text=True, check=False)
    shown = done.stdout.partition('"r": {')[2]
    if done.returncode or not shown:
        raise SystemExit(f"compose_image failed:\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
    return dict(json.JSONDecoder().raw_decode("{" + shown)[0])


def rows(result: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The services of a result by name."""
    return {row["name"]: row for row in result["services"]}


def image_ids(host: Instance) -> str:
    """All images of the host's engine, the nameless ones too."""
    return on(host, "docker images --all --no-trunc --quiet | sort -u")


def files_of(host: Instance, folder: str) -> str:
    """Digest, mode and owner of every file."""
    return on(
        host, f"cd {folder} && find . -type f | sort | xargs -d '\\n' sha256sum && find . -printf '%p %m %u\\n' | sort"
    )


def answers(host: Instance) -> str:
    """What the stack's API answers to requests that have the same answer at any time."""
    paths = ("health", "openapi.json", "docs", "api/media", "api/jobs/none", "nothing")
    asked = [f"curl -s -w ' %{{http_code}}' http://127.0.0.1:8000/{path}; echo" for path in paths]
    return on(host, "; ".join(asked))


def reference(host: Instance) -> list[str]:
    """The reference stack, from check mode to rollback."""
    expected, up = Expected(), "up --detach --no-deps --no-build 2>&1"
    running = "docker inspect -f '{{.Name}} {{.Image}}' $(docker ps -q) | sort"
    files, images, before = files_of(host, "/opt/imagebot"), image_ids(host), answers(host)
    containers = on(host, running)
    checked = module(host, check=True, project_src=PROJECT)
    expected.that(checked["changed"] and len(checked["recreate_pending"]) == 3, "check mode says what it would build")
    expected.that(image_ids(host) == images and files_of(host, "/opt/imagebot") == files, "check mode builds nothing")
    began = time.monotonic()
    done = module(host, project_src=PROJECT)
    print(f"     build, trial and switch took {time.monotonic() - began:.0f} s")
    for row in done["services"]:
        print(f"     {row['name']}: {row['outcome']} {row['size_before']} -> {row['size']} {row['reason'] or ''}")
        print(f"       nothing imports {row['unused_requirements']}, other versions {row['other_versions']}")
    saved = 1 - done["size"] / done["size_before"]
    expected.that(saved >= 0.5, f"all images, each layer once: {done['size_before']} -> {done['size']}, -{saved:.1%}")
    expected.that(
        sorted(done["recreate_pending"]) == ["api", "bot", "worker-image"], "three services wait for a restart"
    )
    on(host, deploy.compose(f"{up} {' '.join(done['recreate_pending'])}"))
    expected.that(bool(deploy.wait_until_healthy(host)), "every container is healthy on its new image")
    expected.that(answers(host) == before, "the application answers the same")
    images = image_ids(host)
    again = module(host, project_src=PROJECT)
    expected.that(not again["changed"] and not again["recreate_pending"], "the second run changes nothing")
    expected.that(image_ids(host) == images, "the second run builds nothing")
    back = module(host, project_src=PROJECT, state="absent")
    on(host, deploy.compose(f"{up} {' '.join(back['recreate_pending'])}"))
    deploy.wait_until_healthy(host)
    expected.that(image_ids(host) == images, "the rollback builds nothing")
    expected.that(on(host, running) == containers, "every container runs the image that it ran before")
    expected.that(files_of(host, "/opt/imagebot") == files, "every file is as it was, to the byte")
    expected.that(answers(host) == before, "the application answers the same after the rollback")
    return expected.failed


def checkout(folder: Path, case: str) -> Path:
    """The repository of a case, cloned where it is missing."""
    repository, commit, _dockerfile, _port = SOURCES[case]
    place = folder / repository.replace("/", "__")
    if not place.is_dir():
        subprocess.run(["git", "clone", "--quiet", f"https://github.com/{repository}", str(place)], check=True)
        subprocess.run(["git", "-C", str(place), "checkout", "--quiet", commit], check=True)
    return place


def make_full(host: Instance) -> None:
    """Build a full Python image as large as the official one's packages make it."""
    install = f"apt-get install -y --no-install-recommends {' '.join(FULL_PACKAGES.split())}"
    text = f"FROM python:3.11-slim\nRUN apt-get update && {install} && rm -rf /var/lib/apt/lists/*\n"
    build = f"DOCKER_BUILDKIT=0 docker build --quiet --network {NETWORK} --tag {FULL} -"
    on(host, f"printf %s {shlex.quote(text)} | {build}", 900)


def stand_in(host: Instance, dockerfile: str) -> None:
    """Give the sandbox's Python images the tags that this Dockerfile and its rewrite name."""
    for line in dockerfile.splitlines():
        words = line.split()
        if len(words) > 1 and words[0].upper() == "FROM" and words[1].startswith("python:") and "alpine" not in line:
            tag = words[1].partition(":")[2]
            if "slim" in tag:
                on(host, f"docker tag python:3.11-slim python:{tag}")
            else:
                version, _dash, release = tag.partition("-")
                on(host, f"docker tag {FULL} python:{tag}")
                on(host, f"docker tag python:3.11-slim python:{'-'.join(p for p in (version, 'slim', release) if p)}")


def outcome(host: Instance, container: str, port: int | None) -> list[Any]:
    """How a container does after a while: state, exit code, health, and its first answer over HTTP."""
    time.sleep(15)
    shown = on(host, "docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{json .State.Health}} "
                     "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' " + container)  # fmt: skip
    status, code, rest = shown.strip().split(" ", 2)
    health = json.loads(rest.rpartition(" ")[0] or rest) if rest.startswith("{") else None
    answer = None
    if port and status == "running":
        answer = on(host, f"curl -s -m 10 -w ' %{{http_code}}' http://{rest.rpartition(' ')[2]}:{port}/ || true")
    return [status, code, health and health["Status"], answer]


def collected_case(host: Instance, folder: Path, case: str) -> dict[str, Any]:
    """Build the original, start it, let compose_image do its work, start that, compare, take it back."""
    _repository, _commit, dockerfile, port = SOURCES[case]
    source, project = checkout(folder, case), f"/opt/collected/{case.lower()}"
    name = f"collected-{case.lower()}"
    on(host, f"rm -rf {project} && mkdir -p {project}")
    ssh.push(host, str(source), f"{project}/source")
    on(host, f"rm -rf {project}/source/.git")
    build = {"context": "./source", "dockerfile": dockerfile, "network": NETWORK}
    text = json.dumps({"name": name, "services": {"app": {"build": build, "stop_grace_period": "1s"}}}, indent=1)
    on(host, f"printf %s {shlex.quote(text)} > {project}/compose.yaml")
    stand_in(host, (source / dockerfile).read_text())
    compose = f"cd {project} && DOCKER_BUILDKIT=0 docker compose"
    began = time.monotonic()
    row: dict[str, Any] = {"case": case}
    if case in LEFT_ALONE:
        # Nothing to build it from here; what counts is that it is left and named.
        row.update(rows(module(host, project_src=project))["app"])
        return row
    on(host, f"{compose} build 2>&1 | tail -n 30", 900)
    original = f"{time.monotonic() - began:.0f} s"
    on(host, f"{compose} up --detach --no-build 2>&1")
    before = outcome(host, f"{name}-app-1", port)
    began = time.monotonic()
    result = module(host, project_src=project)
    row.update(rows(result)["app"], sizes=[result["size_before"], result["size"]])
    row.update(built=[original, f"{time.monotonic() - began:.0f} s"], before=before, after=None)
    if row["outcome"] == "built":
        on(host, f"{compose} up --detach --no-build 2>&1")
        row["after"] = outcome(host, f"{name}-app-1", port)
        row["second_run_changed"] = module(host, project_src=project)["changed"]
    module(host, project_src=project, state="absent")
    on(host, f"{compose} down 2>&1; docker rmi {name}-app {name}-app:headroom 2>&1 || true")
    on(host, "docker image prune --force > /dev/null")
    return row


def collected(host: Instance, folder: Path, cases: list[str]) -> list[str]:
    """All cases, or those named."""
    expected, path = Expected(), folder / "results.json"
    make_full(host)
    for case in cases or list(SOURCES):
        known = json.loads(path.read_text()) if path.exists() else {}
        if case in known and not cases:
            continue
        row = collected_case(host, folder, case)
        path.write_text(json.dumps({**known, case: row}, indent=1))
        print(f"     {case}: {row['outcome']} {row['size_before']} -> {row['size']} {row['reason'] or ''}")
        if case in LEFT_ALONE:
            expected.that(row["outcome"] == "left" and bool(row["reason"]), f"{case} is left alone and named")
        elif row["outcome"] == "built":
            expected.that(row["before"] == row["after"], f"{case} does the same: {row['before']} and {row['after']}")
            expected.that(not row["second_run_changed"], f"{case}: the second run changes nothing")
    found = json.loads(path.read_text())
    built = [row for row in found.values() if row["outcome"] == "built"]
    before, after = sum(row["size_before"] for row in built), sum(row["size"] for row in built)
    if built:
        print(f"     {len(built)} of {len(found)} made smaller: {before} -> {after}, -{1 - after / before:.1%}")
    return expected.failed


def full_disk(host: Instance) -> list[str]:
    """An engine of its own with a small disk, and a build that fills it."""
    expected, here = (
        Expected(),
        Path(__file__).resolve().parent.parent / "tests/integration/targets/compose_image/files",
    )
    socket, place, small = "unix:///run/small.sock", "/opt/small", "/mnt/small"
    ssh.push(host, str(here), f"{place}")
    docker = f"docker --host {socket}"
    # Of this machine: the host has no package lists. It is Debian's static one (busybox-static).
    ssh.push(host, "/bin/busybox", "/bin/busybox")
    on(host, f"mkdir -p {small} && mount -t tmpfs -o size=700m small {small}")
    start = f"dockerd --data-root {small}/data --exec-root /run/small --pidfile /run/small.pid --host {socket}"
    on(
        host,
        f"nohup setsid {start} --bridge none --iptables=false > /run/small.log 2>&1 & sleep 8; {docker} info",
    )
    try:
        on(
            host,
            f"cd {place} && rm -rf base && DOCKER_HOST={socket} sh base.sh {place}/base small-base:1 && rm -rf base",
        )
        fill = "if test -d /headroom; then dd if=/dev/zero of=/big bs=1M count=2000; fi"
        lines = ["FROM small-base:1", "RUN apt-get clean", "WORKDIR /app", "COPY setup.py .",
                 f"RUN python3 setup.py install && {fill}", 'CMD ["sleep", "1000"]']  # fmt: skip
        on(host, f"cd {place} && printf '%s\\n' {' '.join(shlex.quote(line) for line in lines)} > Dockerfile")
        text = json.dumps({"name": "small", "services": {"app": {"build": ".", "network_mode": "none"}}})
        on(host, f"cd {place} && printf %s {shlex.quote(text)} > compose.yaml")
        on(host, f"cd {place} && DOCKER_BUILDKIT=0 DOCKER_HOST={socket} docker compose up --detach --build 2>&1", 300)
        files, running = (
            files_of(host, place),
            on(host, f"{docker} ps --no-trunc --format '{{{{.ID}}}} {{{{.Image}}}}'"),
        )
        result = module(host, project_src=place, docker_host=socket)
        row = rows(result)["app"]
        print(f"     {row['outcome']}: {row['reason']}")
        expected.that(row["outcome"] == "failed" and "space" in row["reason"], "a full disk is named")
        expected.that(not result["changed"] and files_of(host, place) == files, "every file is as it was")
        after = on(host, f"{docker} ps --no-trunc --format '{{{{.ID}}}} {{{{.Image}}}}'")
        expected.that(after == running, "the container runs on, on its old image")
        on(host, f"dd if=/dev/zero of={small}/fill bs=1M 2> /dev/null || true")
        result = module(host, project_src=place, docker_host=socket)
        row = rows(result)["app"]
        print(f"     {row['outcome']}: {row['reason']}")
        expected.that("nothing was built" in row["reason"], "with too little room nothing is built")
    finally:
        on(host, f"kill $(cat /run/small.pid); sleep 3; umount {small}; rm -rf {place}")
    return expected.failed


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("reference", "collected", "full-disk"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--name", default="smallhost")
    options = parser.parse_intermixed_args()
    host = state.require(options.name)
    prepared = playbook.run(host, "prepare", Path(host.folder))
    if prepared.returncode:
        raise SystemExit(f"prepare failed: {playbook.failures(prepared.stdout)}")
    if options.part == "reference":
        failed = reference(host)
    elif options.part == "full-disk":
        failed = full_disk(host)
    else:
        failed = collected(host, options.folder, options.cases)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
