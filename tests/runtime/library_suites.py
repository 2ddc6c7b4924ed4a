# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each library's own test suite, from its source distribution: the same results with headroom_runtime and without.

    python3 tests/runtime/library_suites.py aiogram-3.31.0 httpx ...

Environments and sources are kept in the folder that --folder names. Every suite is run twice, one after the other; a
test that fails without the runtime too is listed, a test with two different results makes the program fail.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

RUNTIME = Path(__file__).resolve().parents[2] / "roles/stage4_code/files"
ALL = "lazy-models,release-memory:idle=1,images,http,api,tempfiles"
BUILDERS = ["hatchling", "hatch-fancy-pypi-readme", "pdm-backend", "setuptools>=77", "wheel", "pybind11"]


@dataclass
class Suite:
    """A library at one version, what its tests need, and how they are called."""

    requirement: str
    needs: list[str]
    arguments: list[str] = field(default_factory=list)
    around: list[str] = field(default_factory=list)


AIOGRAM_NEEDS = [
    "pytest<9",
    "pytest-aiohttp",
    "pytest-mock",
    "aresponses",
    "pytz",
    "pycryptodomex",
    "Babel",
    "aiohttp-socks",
    "pymongo",
    "motor",
]
AIOGRAM_ARGUMENTS = ["tests", "--ignore=tests/test_fsm/storage", "-p", "no:mypy", "--continue-on-collection-errors"]
# RQ's tests empty the databases of the Redis on port 6379: they get one of their own, in a network of their own.
OWN_REDIS = [
    "unshare",
    "--net",
    "sh",
    "-c",
    'ip link set lo up; redis-server --save "" --dir /tmp > /dev/null & sleep 2; "$@"; kill $!',
    "sh",
]
SUITES = {
    "aiogram-3.31.0": Suite("aiogram==3.31.0", [*AIOGRAM_NEEDS, "redis<8", "cryptography"], AIOGRAM_ARGUMENTS),
    "aiogram-3.4.1": Suite(
        "aiogram==3.4.1",
        [*AIOGRAM_NEEDS, "pytest<8", "pytest-asyncio<0.24", "pytest-lazy-fixture", "redis<6"],
        AIOGRAM_ARGUMENTS,
    ),
    "httpx": Suite(
        "httpx==0.28.1",
        [
            "pytest<9",
            "trio",
            "trustme",
            "uvicorn<0.33",
            "chardet",
            "cryptography",
            "h2",
            "socksio",
            "brotli",
            "zstandard",
            "click",
            "pygments",
            "rich",
        ],
        ["tests"],
    ),
    "rq": Suite("rq==3.0.0", ["pytest<9", "psutil", "sentry-sdk<2", "redis"], ["tests"], OWN_REDIS),
    "fastapi": Suite(
        "fastapi==0.165.0",
        [
            "pytest<9",
            "anyio[trio]",
            "dirty-equals",
            "flask",
            "sqlmodel",
            "PyJWT",
            "pyyaml",
            "pwdlib[argon2]",
            "inline-snapshot",
            "httpx",
            "python-multipart",
            "jinja2",
            "email-validator",
            "pydantic-settings",
            "pydantic-extra-types",
            "ujson",
            "orjson",
            "itsdangerous",
            "a2wsgi",
            "opentelemetry-sdk",
            "fastapi-cli",
            "pytest-timeout",
        ],
        ["tests", "--ignore=tests/test_tutorial", "-p", "no:cacheprovider"],
    ),
    "openai": Suite(
        "openai==3.54.0",
        [
            "pytest<9",
            "pytest-asyncio",
            "respx",
            "dirty-equals",
            "time-machine",
            "inline-snapshot",
            "pytest-xdist",
            "nest_asyncio",
            "rich",
            "numpy",
            "pandas",
        ],
        # The resources want a server made from the API's description; the retries wait for one.
        ["tests", "--ignore=tests/api_resources", "-k", "not retr"],
    ),
    "Pillow": Suite(
        "Pillow==13.0.0", ["pytest<9", "pytest-timeout", "defusedxml", "packaging", "numpy", "olefile"], ["Tests"]
    ),
}


def call(*argv: object, **named: object) -> int:
    return subprocess.run([str(word) for word in argv], check=False, **named).returncode  # type: ignore[call-overload]


def environment_of(suite: Suite, name: str, folder: Path) -> Path:
    """The Python of an environment with the library and what its tests need."""
    python = folder / name / "bin/python"
    if not (folder / name / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", folder / name], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", suite.requirement, *suite.needs], check=True)
        (folder / name / "complete").touch()
    return python


def source_of(suite: Suite, name: str, folder: Path) -> Path:
    """The unpacked source distribution, its library moved aside: the installed one is tested."""
    target = folder / f"{name}-source"
    if not target.exists():
        build = folder / "build"
        if not build.exists():
            subprocess.run([sys.executable, "-m", "venv", build], check=True)
            subprocess.run([build / "bin/python", "-m", "pip", "install", "-q", *BUILDERS], check=True)
        download = [
            "download",
            "-q",
            "--no-deps",
            "--no-binary",
            ":all:",
            "--no-build-isolation",
            "-d",
            folder / "sdist",
        ]
        subprocess.run([build / "bin/python", "-m", "pip", *download, suite.requirement], check=True)
        stem = suite.requirement.replace("==", "-").lower()
        archive = next(path for path in (folder / "sdist").iterdir() if path.name.lower() == f"{stem}.tar.gz")
        with tarfile.open(archive) as source:
            source.extractall(folder / f"{name}-unpacked", filter="data")
        (folder / f"{name}-unpacked" / archive.name[: -len(".tar.gz")]).rename(target)
        package = suite.requirement.partition("==")[0]
        for place in (target / package, target / "src" / package, target / "src"):
            if place.exists():
                place.rename(place.with_name(place.name + ".aside"))
    return target


def run(suite: Suite, python: Path, source: Path, features: str, report: Path) -> float:
    """Run the suite with the features on; the results are in the report. Returns seconds."""
    began = time.monotonic()
    chain = report.parent / "chain"
    chain.mkdir(exist_ok=True)
    (chain / "sitecustomize.py").write_text("import headroom_runtime\n")
    environment = {**os.environ, "HEADROOM_RUNTIME": features, "PYTHONPATH": f"{chain}:{RUNTIME}"}
    if not features:
        del environment["PYTHONPATH"]
    with (report.with_suffix(".log")).open("wb") as log:
        call(
            *suite.around,
            python,
            "-m",
            "pytest",
            "-q",
            f"--junitxml={report}",
            *suite.arguments,
            cwd=source,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    return time.monotonic() - began


def results(report: Path) -> dict[str, str]:
    """test -> passed, failed, error or skipped."""
    found = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        found[f"{case.get('classname')}::{case.get('name')}"] = kinds[0] if kinds else "passed"
    return found


def compare(name: str, folder: Path, features: str) -> bool:
    suite = SUITES[name]
    python, source = environment_of(suite, name, folder), source_of(suite, name, folder)
    reports = [folder / f"{name}-without.xml", folder / f"{name}-with.xml"]
    seconds = [run(suite, python, source, text, report) for text, report in zip(("", features), reports)]
    without, with_runtime = (results(report) for report in reports)
    counts = [
        {kind: list(one.values()).count(kind) for kind in ("passed", "failure", "error", "skipped")}
        for one in (without, with_runtime)
    ]
    print(f"{name}: without {counts[0]} {seconds[0]:.0f} s, with {counts[1]} {seconds[1]:.0f} s", flush=True)
    for test in sorted(without):
        if without[test] in ("failure", "error"):
            print(
                f"  fails without the runtime too: {test}"
                if with_runtime.get(test) == without[test]
                else f"  flaky? {test}"
            )
    different = sorted(test for test in {*without, *with_runtime} if without.get(test) != with_runtime.get(test))
    for test in different:
        print(f"  DIFFERENT: {test}: {without.get(test)} -> {with_runtime.get(test)}")
    return not different


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite", nargs="*", choices=[*SUITES, []])
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache/headroom-runtime")
    parser.add_argument("--features", default=ALL)
    parser.add_argument("--prepare", action="store_true", help="only make the environments")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    names = options.suite or list(SUITES)
    if options.prepare:
        for name in names:
            environment_of(SUITES[name], name, options.folder)
            source_of(SUITES[name], name, options.folder)
        return 0
    same = [compare(name, options.folder, options.features) for name in names]
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
