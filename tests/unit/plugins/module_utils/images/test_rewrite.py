# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.images import rewrite

SIMPLE = """\
FROM python:3.11
WORKDIR /app
ENV A=1
RUN apt-get update && apt-get install -y gcc libpq-dev curl && rm -rf /var/lib/apt/lists/*
COPY requirements.txt .
RUN pip install -r requirements.txt
COPY . .
RUN useradd bot
USER bot
VOLUME /data
EXPOSE 80
HEALTHCHECK CMD curl -f http://localhost/
ENTRYPOINT ["python"]
CMD ["main.py"]
"""


def stages(text, **options):
    """The instructions of both stages, by keyword and value."""
    file = rewrite.parse(rewrite.write(rewrite.read(text, "Dockerfile", **options)))
    second = file.instructions.index(file.stages[1])
    return [[(e.keyword, e.value) for e in part] for part in (file.instructions[:second], file.instructions[second:])]


def test_the_final_stage_has_all_settings_in_their_order_and_nothing_for_building():
    build, final = stages(SIMPLE)
    assert build[0] == ("FROM", "python:3.11 AS headroom-build")
    assert final[0] == ("FROM", "python:3.11-slim")
    settings = [entry for entry in final if entry[0] not in ("RUN", "COPY", "FROM")]
    assert settings == [
        ("WORKDIR", "/app"),
        ("ENV", "A=1"),
        ("USER", "bot"),
        ("VOLUME", "/data"),
        ("EXPOSE", "80"),
        ("HEALTHCHECK", "CMD curl -f http://localhost/"),
        ("ENTRYPOINT", '["python"]'),
        ("CMD", '["main.py"]'),
    ]
    runs = " ".join(value for keyword, value in final if keyword == "RUN")
    assert "install -y curl" in runs
    assert "gcc" not in runs
    assert "libpq-dev" not in runs
    assert "pip install" not in runs


def test_the_first_stage_ends_with_the_installation_and_knows_the_dev_packages():
    build, _final = stages(SIMPLE)
    assert build[-1] == ("RUN", "python3 /headroom/collect.py after 1 libpq-dev")
    assert ("RUN", "pip install -r requirements.txt") in build
    assert not {"USER", "VOLUME", "CMD", "ENTRYPOINT", "EXPOSE"} & {keyword for keyword, _value in build}


def test_what_a_user_installs_belongs_to_that_user():
    text = "FROM python:3.11-slim\nRUN useradd bot\nUSER bot\nRUN pip install --user x\nCMD a\n"
    _build, final = stages(text)
    assert ("COPY", "--from=headroom-build --chown=bot /headroom/1/ /") in final
    place = final.index(("USER", "root"))
    assert final[place + 2] == ("USER", "bot")
    # COPY --chown gives folders of the system to the user, too.
    assert 'chown "$owner" "$path"' in final[place + 1][1]


def test_apt_and_pip_in_one_instruction_are_taken_apart():
    text = (
        "FROM python:3.11\nRUN apt-get update && apt-get install -y gcc ffmpeg && pip install x && useradd bot\nCMD a\n"
    )
    _build, final = stages(text)
    assert final[1][1].split(" && ")[:3] == ["apt-get update", "apt-get install -y ffmpeg", "useradd bot"]


def test_lists_fetched_by_an_instruction_of_their_own_are_fetched_where_they_are_needed():
    text = "FROM python:3.11\nRUN apt-get update\nRUN apt-get install -y gcc curl\nRUN pip install x\nCMD a\n"
    _build, final = stages(text)
    assert final[1][1].startswith("apt-get update && apt-get install -y curl")
    assert [keyword for keyword, _value in final[:3]] == ["FROM", "RUN", "COPY"]


def test_what_is_compiled_is_fetched_like_what_is_installed():
    text = "FROM python:3.11\nWORKDIR /src\nRUN ./configure && make && make install\nCMD a\n"
    _build, final = stages(text)
    assert not any("make" in value for keyword, value in final if keyword == "RUN")
    assert any("/headroom/1/" in value for keyword, value in final if keyword == "COPY")


@pytest.mark.parametrize(
    ("run", "again"),
    [
        ("pip install x && chown -R bot /app", "(test ! -e /app || chown -R bot /app)"),
        ("chmod +x start.sh && pip install .", "(test ! -e start.sh || chmod +x start.sh)"),
        ("set -ex && pip install x && useradd -m bot && mkdir /data", "useradd -m bot && mkdir -p /data"),
        ("chmod +x ./configure && ./configure && make", "(test ! -e ./configure || chmod +x ./configure)"),
        ("pip install x && python -m nltk.downloader punkt && mkdir /data", "mkdir -p /data"),
        ("--mount=type=cache,target=/c pip install x && mkdir /data", "mkdir -p /data"),
    ],
)
def test_what_an_installation_sets_up_is_done_after_its_files_were_fetched(run, again):
    build, final = stages(f"FROM python:3.11\nRUN {run}\nCMD a\n")
    assert ("RUN", run) in build
    assert final[1:3] == [("COPY", "--from=headroom-build /headroom/1/ /"), ("RUN", again)]


@pytest.mark.parametrize(
    "run",
    [
        "pip install x && python -m nltk.downloader punkt && playwright install chromium",
        "mkdir build && cd build && cmake .. && make install",
        "git clone a && cd a && chmod +x configure && ./configure && make && pip install x",
        "for x in a b; do pip install $x; done",
    ],
)
def test_of_other_installations_the_final_stage_has_the_files_alone(run):
    _build, final = stages(f"FROM python:3.11\nRUN {run}\nCMD a\n")
    assert [keyword for keyword, _value in final] == ["FROM", "COPY", "RUN", "CMD"]
    assert final[2][1].startswith("missing=")


def test_a_shell_text_that_is_not_understood_stays_where_it_installs_nothing():
    text = "FROM python:3.11\nRUN for i in 1 2; do echo $i; done\nRUN pip install x\nRUN date | cat\nCMD a\n"
    _build, final = stages(text)
    assert final[1] == ("RUN", "for i in 1 2; do echo $i; done")
    assert ("RUN", "date | cat") in final


def test_unwanted_requirements_are_taken_out_of_the_first_stage_only():
    build, final = stages(SIMPLE, unwanted=["beautiful_soup4"])
    runs = [value for keyword, value in build if keyword == "RUN" and value.startswith("sed ")]
    assert runs == ["sed -i -E '/^(beautiful[-_.]+soup4)([^A-Za-z0-9._-]|$)/Id' requirements.txt"]
    assert not any(value.startswith("sed ") for _keyword, value in final)


def test_the_base_may_be_named_by_an_argument():
    text = "ARG V=3.11\nFROM python:${V}-bookworm AS app\nRUN pip install x\nCMD a\n"
    _build, final = stages(text)
    assert final[0] == ("FROM", "python:3.11-slim-bookworm AS app")
    _build, final = stages(text, arguments={"V": "3.12"})
    assert final[0] == ("FROM", "python:3.12-slim-bookworm AS app")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("FROM a AS b\nFROM c\nRUN pip install x\n", "several stages"),
        ("RUN pip install x\n", "no FROM"),
        ("FROM python:3.11-alpine\nRUN pip install x\n", "not Debian"),
        ("FROM node:20\nRUN npm install\n", "not known to be a Debian"),
        ("FROM fedora\nRUN dnf install -y gcc\n", "installs with dnf"),
        ("FROM python:3.11\nCOPY . .\nCMD a\n", "nothing in it installs"),
        ("FROM python:3.11\nONBUILD RUN pip install x\n", "ONBUILD"),
        ("FROM python:$V\nRUN pip install x\n", "the variable V has no value"),
        ("FROM python:3.11\nRUN apt-get update; apt-get install -y gcc; pip install x\n", "taken apart"),
        ("FROM python:3.11\nRUN cd /a && apt-get install -y gcc && pip install x\n", "taken apart"),
        ("FROM python:3.11\nRUN pip install x; chown -R bot /app\n", "RUN of their own"),
        ("FROM python:3.11\nRUN cd /app && pip install x && mkdir data\n", "RUN of their own"),
        ("FROM python:3.11\nRUN cd /a && mkdir b && make && useradd bot\n", "RUN of their own"),
        ("FROM python:3.11\nRUN pip install x && chown bot `which x`\n", "RUN of their own"),
        ('FROM python:3.11\nRUN ["sh", "-c", "pip install x && mkdir /data"]\n', "RUN of their own"),
        ("FROM python:3.11\nRUN <<EOF\npip install x\nEOF\n", "here-document"),
    ],
)
def test_what_is_left_alone_is_named(text, why):
    with pytest.raises(rewrite.CannotRewrite, match=why):
        rewrite.read(text, "Dockerfile")


def test_services_with_the_same_requirements_share_their_beginning():
    one = rewrite.read(SIMPLE, "Dockerfile.one")
    two = rewrite.read(SIMPLE.replace("gcc libpq-dev curl", "procps").replace("main.py", "b.py"), "Dockerfile.two")
    three = rewrite.read("FROM python:3.11-slim\n" + SIMPLE.split("\n", 1)[1].replace("A=1", "A=2"), "Dockerfile.three")
    texts = [rewrite.write(recipe).split("\n", 2)[2] for recipe in rewrite.shared([one, two, three])]
    assert texts[0].split("COPY . .")[0] == texts[1].split("COPY . .")[0]
    assert "install -y curl procps" in texts[1]
    assert '"b.py"' in texts[1]
    assert "ENV A=2" in texts[2]


def test_a_beginning_that_installs_no_debian_packages_is_shared_as_well():
    text = "FROM python:3.11\nRUN apt-get clean\nRUN pip install x\nCMD a\n"
    texts = [rewrite.write(recipe) for recipe in rewrite.shared([rewrite.read(text, "D"), rewrite.read(text, "D")])]
    assert texts[0] == texts[1]
    assert "RUN apt-get clean" in texts[0]


def test_a_slim_service_and_a_full_one_build_on_the_full_base():
    full = rewrite.read("FROM python:3.11\nRUN pip install x\nCMD a\n", "one")
    slim = rewrite.read("FROM python:3.11-slim\nRUN pip install x\nCMD b\n", "two")
    for recipe in rewrite.shared([slim, full]):
        assert (recipe.base_image, recipe.final_image) == ("python:3.11", "python:3.11-slim")


def test_the_collector_fits_into_the_dockerfile():
    text = rewrite.write(rewrite.read(SIMPLE, "Dockerfile"))
    lines = [line.strip() for line in text.split("\n")]
    written = [line[1:-3] for line in lines if line.startswith("'") and line.endswith("' \\")]
    assert "'" not in "".join(written)
    compile("\n".join(written), "collect.py", "exec")


def test_a_syntax_directive_stays_the_first_line():
    text = rewrite.write(rewrite.read("# syntax=docker/dockerfile:1\n" + SIMPLE, "Dockerfile"))
    assert text.startswith("# syntax=docker/dockerfile:1\n")
