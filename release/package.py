# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The package: built from what git knows, installed into an empty project, looked at as Galaxy does."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from release import tools
from sandbox.checks import staged_copy
from sandbox.process import SandboxError, run, step

COLLECTION = "smallhost.headroom"

# What the importer says of every collection whose linter is newer than the one it was made for.
_NOT_OURS = re.compile(r"ansible-lint .*(not in offline mode|new release)|A new release of ansible-lint")


def build(folder: Path, ansible_galaxy: str = "ansible-galaxy") -> Path:
    """Build the package from the checkout's files that git tracks or would track, and return its path."""
    with tempfile.TemporaryDirectory() as work:
        tree = staged_copy(work)
        run([ansible_galaxy, "collection", "build", str(tree), "--output-path", work])
        # Not looked for in `folder`, where packages of other versions may lie.
        (built,) = Path(work).glob("smallhost-headroom-*.tar.gz")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(built, folder / built.name))


def install(package: Path, project: Path, ansible_galaxy: str = "ansible-galaxy") -> Path:
    """Install the package into a project's own folder of collections, and return that folder."""
    place = project / "collections"
    argv = [ansible_galaxy, "collection", "install", str(package), "--collections-path", str(place), "--offline"]
    # The checkout itself is on the path of the project's programs, and would count as installed.
    run(argv, env={"ANSIBLE_COLLECTIONS_PATH": str(place), "PYTHONPATH": ""})
    return place


def complaints(log: str) -> list[str]:
    """Return the importer's warnings and errors that are about the collection."""
    lines = [line for line in log.splitlines() if re.match(r"(WARNING|ERROR|CRITICAL)\b", line)]
    return [line for line in lines if not _NOT_OURS.search(line)]


def check_import() -> list[str]:
    """Import the package with Galaxy's own importer, its lint included; return what it has to say against it.

    `ansible-test sanity`, which the importer would run in a container, is a part of `bin/test`.
    """
    binaries = tools.tools()
    variables = {**tools.with_path(binaries), "GALAXY_IMPORTER_RUN_ANSIBLE_TEST": "false", "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryDirectory() as work, step("import the package as Galaxy does"):
        package = build(Path(work), str(binaries / "ansible-galaxy"))
        script = f"cd {work} && {binaries}/python -m galaxy_importer.main {package} 2>&1 || echo ERROR: not imported"
        log = run(["sh", "-c", script], env=variables)
    if "Collection loading complete" not in log:
        return complaints(log) or [f"ERROR: the importer ended early: {log[-800:]}"]
    return complaints(log)


def check_execution_environment() -> list[str]:
    """Let ansible-builder read what the collection needs beside it, and make a build context; return what fails."""
    binaries = tools.tools()
    with tempfile.TemporaryDirectory() as work, step("read the execution environment"):
        try:
            galaxy, builder = str(binaries / "ansible-galaxy"), str(binaries / "ansible-builder")
            place = install(build(Path(work), galaxy), Path(work), galaxy)
            seen = run([builder, "introspect", str(place)], env=tools.with_path(binaries))
            definition = place / "ansible_collections/smallhost/headroom/execution-environment.yml"
            run([builder, "create", "--file", str(definition), "--context", f"{work}/context"])
        except SandboxError as error:
            return [str(error)]
    return [] if "pygal" in seen else [f"ansible-builder does not see that reports need pygal: {seen}"]
