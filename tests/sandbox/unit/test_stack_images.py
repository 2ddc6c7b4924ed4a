# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from sandbox import stack_images
from sandbox.process import SandboxError
from sandbox.stack import deploy

BASES = {"python:3.11-slim": "local/python:3.11-slim"}


def test_from_lines_are_turned_to_local_images_and_nothing_else():
    text = "# FROM x\nFROM python:3.11-slim AS build\nRUN echo FROM python:3.11-slim\nFROM build\n"
    expected = text.replace("FROM python:3.11-slim AS", "FROM local/python:3.11-slim AS")
    assert stack_images.rebase(text, BASES) == expected


def test_an_unknown_base_is_an_error():
    with pytest.raises(SandboxError, match="node:22"):
        stack_images.rebase("FROM node:22\n", BASES)


@pytest.mark.parametrize("service", sorted(stack_images.DOCKERFILES))
def test_the_applications_dockerfiles_have_bases_here(service):
    text = (stack_images.APPLICATION / "deploy" / stack_images.DOCKERFILES[service]).read_text()
    bases = {name: stack_images.local(name) for name in (stack_images.PYTHON_SLIM, stack_images.PYTHON)}
    assert stack_images.PREFIX in stack_images.rebase(text, bases)


def test_bot_and_api_share_all_layers_but_their_command():
    texts = [(stack_images.APPLICATION / f"deploy/Dockerfile.{name}").read_text() for name in ("bot", "api")]
    bot, api = (text.partition("COPY . .")[0] for text in texts)
    assert bot == api


def test_public_names_are_never_taken_on_this_machine():
    assert all(name.startswith("headroom-sandbox/") for name in stack_images.host_names())


def test_the_application_does_not_know_the_collection():
    with stack_images.application() as folder:
        files = [file for file in folder.rglob("*") if file.is_file()]
        for file in files:
            body = [line for line in file.read_text().splitlines() if not line.startswith("# Copyright")]
            assert "headroom" not in "\n".join(body).lower(), file
    assert {"requirements.txt", "docker-compose.prod.yml", "main.py"} <= {file.name for file in files}


def test_litter_of_a_checkout_does_not_reach_the_images(monkeypatch, tmp_path):
    for name in ("app/main.py", "app/__pycache__/main.pyc", ".ruff_cache/x", ".env", ".env.example"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(stack_images, "APPLICATION", tmp_path)
    with stack_images.application() as folder:
        found = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert found == {"app/main.py", ".env.example"}


def test_only_missing_or_changed_images_are_loaded():
    names = {"l/a:1": "a:1", "l/b:1": "b:1", "l/c:1": "c:1"}
    here = {"l/a:1": "sha256:1", "l/b:1": "sha256:2", "l/c:1": "sha256:3"}
    there = {"a:1": "sha256:1", "b:1": "sha256:old"}
    assert deploy.missing_images(here, there, names) == ["l/b:1", "l/c:1"]


def test_states_read_what_compose_prints():
    lines = (
        '{"Service":"redis","State":"running","Health":"healthy"}',
        '{"Service":"worker-image","State":"exited","Health":""}',
    )
    listing = "\n".join(lines) + "\n"
    assert deploy.states(listing) == {"redis": "healthy", "worker-image": "exited"}


def test_dotenv_answers_every_name_of_the_example():
    example = (stack_images.APPLICATION / ".env.example").read_text()
    wanted = {line.partition("=")[0] for line in example.splitlines() if "=" in line and not line.startswith("#")}
    assert wanted <= {line.partition("=")[0] for line in deploy.dotenv().splitlines()}
