# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.images import shell


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a && b  c&& d", ["a", "b c", "d"]),
        ("pip install 'x[y]>=1' && true", ["pip install 'x[y]>=1'", "true"]),
        ("a; b", None),
        ("a | b", None),
        ("if x; then y; fi", None),
        ("echo $(date) && b", None),
        ("a && && b", None),
        ("echo 'open", None),
    ],
)
def test_only_plain_chains_are_taken_apart(text, parts):
    assert shell.commands(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "pip install -r requirements.txt",
        "pip3 --no-cache-dir install x",
        "python -m pip install x",
        "/venv/bin/pip install x",
        "poetry install --no-root",
        "uv sync --frozen",
        "uv pip install --system x",
        "pipenv install --system --deploy",
        "cd /app && python setup.py install",
    ],
)
def test_installations_are_seen(text):
    assert shell.installs(text)


@pytest.mark.parametrize(
    "text", ["apt-get install -y python3-pip", "pip --version", "poetry config virtualenvs.create false", "npm install"]
)
def test_other_commands_install_no_python_packages(text):
    assert not shell.installs(text)


@pytest.mark.parametrize(
    ("command", "again"),
    [
        ("chown -R bot:bot /app", "(test ! -e /app || chown -R bot:bot /app)"),
        ("chown bot '/my app' -R", "(test ! -e '/my app' || chown bot '/my app' -R)"),
        ("mkdir -m 750 /data", "mkdir -p -m 750 /data"),
        ("install -o bot -d /data", "install -o bot -d /data"),
        ("useradd --create-home bot", "useradd --create-home bot"),
        ("find /app -type d -exec chmod 755 {} +", "find /app -type d -exec chmod 755 {} +"),
    ],
)
def test_what_sets_up_owners_modes_accounts_and_folders_can_be_done_again(command, again):
    assert shell.sets_up(command)
    assert shell.done_again(command) == again


@pytest.mark.parametrize(
    "command",
    [
        "pip install -d /wheels x",
        "make install",
        "install -m 755 tool /usr/local/bin/tool",
        "python -m nltk.downloader a",
    ],
)
def test_what_only_makes_files_sets_nothing_up(command):
    assert not shell.sets_up(command)


def test_an_apt_installation_has_its_words_and_packages():
    found = shell.apt_install(
        "DEBIAN_FRONTEND=noninteractive apt-get -o A=b install -y gcc libpq-dev --no-install-recommends"
    )
    assert found is not None
    assert found.packages == ("gcc", "libpq-dev")
    assert "--no-install-recommends" in found.words
    assert shell.apt_install("apt-get update") is None
    assert shell.apt_install("echo install gcc") is None


@pytest.mark.parametrize(
    "package", ["gcc", "gcc-12", "g++", "build-essential", "libpq-dev", "python3-dev", "libssl-dev=3.0"]
)
def test_packages_for_building(package):
    assert shell.build_only(package)


@pytest.mark.parametrize("package", ["curl", "libpq5", "ffmpeg", "git", "procps", "gccgo-doc"])
def test_packages_for_running(package):
    assert not shell.build_only(package)
    assert shell.build_only(package, [package])


@pytest.mark.parametrize(
    "command", ["apt-get update", "apt-get clean", "rm -rf /var/lib/apt/lists/*", "rm -rf /var/lib/apt/lists/* /tmp/*"]
)
def test_housekeeping(command):
    assert shell.is_housekeeping(command)


@pytest.mark.parametrize(
    "command", ["rm -rf /app/tests", "apt-get upgrade -y", "useradd bot", "rm -rf /var/lib/postgresql"]
)
def test_what_is_no_housekeeping(command):
    assert not shell.is_housekeeping(command)


def test_requirement_files():
    assert shell.requirement_files("pip install -r a.txt --requirement=b.txt -rc.txt") == ["a.txt", "b.txt", "c.txt"]
    assert shell.requirement_files("cat -r a.txt") == []
