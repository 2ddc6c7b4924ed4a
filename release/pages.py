# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A page for every module and role, made by antsibull-docs and Sphinx out of their own documentation."""

from __future__ import annotations

import tempfile
from pathlib import Path

from release import tools
from release.package import COLLECTION, build, install
from sandbox.process import SandboxError, run, step

SPHINX = ("sphinx", "sphinx-ansible-theme", "antsibull-docs", "ansible-core")

# No other site is asked when pages are built. Links into Ansible's own pages are plain text; `check` looks at ours.
OFFLINE = """
intersphinx_mapping = {}
suppress_warnings = ["ref.ref"]
"""


def check() -> list[str]:
    """Return what antsibull-docs finds wrong with the documentation of modules, roles and the changelog."""
    binaries = tools.tools()
    with tempfile.TemporaryDirectory() as work, step("check the documentation"):
        folder = Path(work)
        place = install(build(folder, f"{binaries}/ansible-galaxy"), folder, f"{binaries}/ansible-galaxy")
        options = ["--plugin-docs", "--validate-collection-refs=self"]
        tree = str(place / "ansible_collections/smallhost/headroom")
        try:
            run([f"{binaries}/antsibull-docs", "lint-collection-docs", *options, tree], env=tools.with_path(binaries))
        except SandboxError as error:
            return [str(error)]
    return []


def make(target: Path) -> Path:
    """Build the pages as HTML under `target` and return the first one. Raises SandboxError at any warning of theirs."""
    binaries = tools.environment("pages", tools.modern_python(), SPHINX)
    variables = tools.with_path(binaries)
    with tempfile.TemporaryDirectory() as work, step("make the pages of modules and roles"):
        folder = Path(work)
        place = install(build(folder, f"{binaries}/ansible-galaxy"), folder, f"{binaries}/ansible-galaxy")
        variables["ANSIBLE_COLLECTIONS_PATH"] = str(place)
        (folder / "site").mkdir(mode=0o700)
        argv = ["sphinx-init", "--use-current", "--dest-dir", f"{work}/site", "--fail-on-error", COLLECTION]
        run([f"{binaries}/antsibull-docs", *argv], env=variables)
        with (folder / "site/conf.py").open("a", encoding="utf-8") as stream:
            stream.write(OFFLINE)
        run(["sh", "-c", f"cd {work}/site && ./build.sh"], env=variables)
        target.mkdir(parents=True, exist_ok=True)
        run(["cp", "-R", f"{work}/site/build/html/.", str(target)])
    return target / "collections/smallhost/headroom/index.html"
