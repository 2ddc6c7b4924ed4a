# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import project as p

TEXT = "services:\n  bot:\n    image: x\n"


def labels(folder, files, name="bot", **more):
    return {p.LABEL_PROJECT: name, p.LABEL_FOLDER: str(folder), p.LABEL_FILES: ",".join(map(str, files)), **more}


def make(folder, *names, text=TEXT):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return [str(folder / name) for name in names]


def choose(folder, files=(), name=None, running=(), environment=None):
    return p.choose(str(folder), list(files), name, list(running), environment or {})


# Compose's own discovery


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (["compose.yaml"], ["compose.yaml"]),
        (["docker-compose.yml", "compose.yml"], ["compose.yml"]),
        (["docker-compose.yaml", "docker-compose.yml"], ["docker-compose.yml"]),
        (["compose.yaml", "compose.override.yaml"], ["compose.yaml", "compose.override.yaml"]),
        (["compose.yaml", "docker-compose.override.yml"], ["compose.yaml", "docker-compose.override.yml"]),
        (["compose.yaml", "compose.override.yaml", "compose.override.yml"], ["compose.yaml", "compose.override.yml"]),
    ],
)
def test_discovery_follows_composes_order(tmp_path, present, expected):
    make(tmp_path, *present)
    chosen = choose(tmp_path)
    assert [os.path.basename(path) for path in chosen.files] == expected
    assert not chosen.explicit


def test_compose_file_in_dotenv_is_explicit(tmp_path):
    make(tmp_path, "compose.yaml", "a.yml", "b.yml", "compose.override.yaml")
    (tmp_path / ".env").write_text("# comment\nCOMPOSE_FILE='a.yml:b.yml'\n")
    chosen = choose(tmp_path)
    assert chosen.files == (str(tmp_path / "a.yml"), str(tmp_path / "b.yml"))
    assert chosen.explicit


def test_the_environment_beats_dotenv_and_the_separator_counts(tmp_path):
    make(tmp_path, "a.yml", "b.yml")
    (tmp_path / ".env").write_text("COMPOSE_FILE=a.yml\nCOMPOSE_PATH_SEPARATOR=;\n")
    chosen = choose(tmp_path, environment={"COMPOSE_FILE": "b.yml;a.yml"})
    assert [os.path.basename(path) for path in chosen.files] == ["b.yml", "a.yml"]


# Running containers


def test_explicit_files_of_the_running_project(tmp_path):
    prod, _other = make(tmp_path, "docker-compose.prod.yml", "docker-compose.yml")
    chosen = choose(tmp_path, running=[labels(tmp_path, [prod])])
    assert (chosen.files, chosen.explicit, chosen.name) == ((prod,), True, "bot")


def test_the_project_folder_need_not_be_the_files_folder(tmp_path):
    (prod,) = make(tmp_path, "deploy/prod.yml")
    chosen = choose(tmp_path / "deploy", running=[labels(tmp_path, [prod])])
    assert chosen.folder == str(tmp_path)
    assert chosen.files == (prod,)


def test_labels_of_a_discovered_project_leave_it_discovered(tmp_path):
    (base,) = make(tmp_path, "compose.yaml")
    assert not choose(tmp_path, running=[labels(tmp_path, [base])]).explicit


def test_an_override_that_the_containers_do_not_know_was_excluded_explicitly(tmp_path):
    base, _override = make(tmp_path, "compose.yaml", "compose.override.yaml")
    chosen = choose(tmp_path, running=[labels(tmp_path, [base])])
    assert (chosen.files, chosen.explicit) == ((base,), True)


def test_an_override_made_by_the_collection_is_read_although_no_container_knows_it(tmp_path):
    base, override = make(tmp_path, "compose.yaml", "compose.override.yaml")
    (tmp_path / "compose.override.yaml").write_bytes(p.OVERRIDE_MARK + b"compose.yaml.\nservices:\n")
    chosen = choose(tmp_path, running=[labels(tmp_path, [base])])
    assert (chosen.files, chosen.explicit) == ((base, override), False)


def test_the_longest_file_list_counts_while_only_some_containers_were_recreated(tmp_path):
    base, override = make(tmp_path, "compose.yaml", "compose.override.yaml")
    running = [labels(tmp_path, [base]), labels(tmp_path, [base, override])]
    assert choose(tmp_path, running=running).files == (base, override)


def test_env_files_of_the_running_project_are_kept(tmp_path):
    prod, env = make(tmp_path, "prod.yml", "prod.env")
    chosen = choose(tmp_path, running=[labels(tmp_path, [prod], **{p.LABEL_ENV_FILES: env})])
    assert chosen.env_files == (env,)


def test_an_env_file_that_has_gone_would_empty_the_variables(tmp_path):
    (prod,) = make(tmp_path, "prod.yml")
    running = [labels(tmp_path, [prod], **{p.LABEL_ENV_FILES: str(tmp_path / "deploy.env")})]
    with pytest.raises(p.ProjectError, match=r"--env-file .*deploy\.env, which is not there.*Nothing was changed"):
        choose(tmp_path, running=running)


def test_env_files_are_kept_with_other_files_too(tmp_path):
    prod, more, env = make(tmp_path, "prod.yml", "more.yml", "deploy.env")
    running = [labels(tmp_path, [prod], **{p.LABEL_ENV_FILES: env})]
    assert choose(tmp_path, files=[prod, more], running=running).env_files == (env,)


def test_symlinked_folders_are_the_same_project(tmp_path):
    (prod,) = make(tmp_path, "real/prod.yml")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert choose(tmp_path / "link", running=[labels(tmp_path / "real", [prod])]).name == "bot"


def test_several_projects_in_one_folder_need_a_name(tmp_path):
    one, two = make(tmp_path, "one.yml", "two.yml")
    running = [labels(tmp_path, [one], "one"), labels(tmp_path, [two], "two")]
    with pytest.raises(p.ProjectError, match=r"several running projects \(one, two\).*project_name"):
        choose(tmp_path, running=running)
    assert choose(tmp_path, name="two", running=running).files == (two,)
    assert choose(tmp_path, files=["one.yml"], running=running).name == "one"


def test_a_project_of_another_folder_is_not_ours(tmp_path):
    (base,) = make(tmp_path, "mine/compose.yaml")
    (other,) = make(tmp_path, "other/compose.yaml")
    chosen = choose(tmp_path / "mine", running=[labels(tmp_path / "other", [other], "other")])
    assert (chosen.files, chosen.name) == ((base,), None)


# Files that the user names


def test_named_files_beat_the_running_projects_with_a_warning(tmp_path):
    prod, dev = make(tmp_path, "prod.yml", "dev.yml")
    chosen = choose(tmp_path, files=["dev.yml"], running=[labels(tmp_path, [prod])])
    assert chosen.files == (dev,)
    assert "were started from" in chosen.warnings[0]


def test_named_files_give_the_project_folder_that_compose_gives(tmp_path):
    make(tmp_path, "deploy/prod.yml")
    assert choose(tmp_path, files=["deploy/prod.yml"]).folder == str(tmp_path / "deploy")


# Errors


def test_missing_folder(tmp_path):
    with pytest.raises(p.ProjectError, match="does not exist"):
        choose(tmp_path / "no")


def test_no_compose_file_names_what_is_there_or_above(tmp_path):
    (tmp_path / "deploy").mkdir()
    with pytest.raises(p.ProjectError, match="there is no compose file"):
        choose(tmp_path / "deploy")
    make(tmp_path, "compose.yaml")
    with pytest.raises(p.ProjectError, match=f"set project_src to {tmp_path}"):
        choose(tmp_path / "deploy")
    make(tmp_path, "deploy/docker-compose.prod.yml")
    with pytest.raises(p.ProjectError, match=r"docker-compose\.prod\.yml: name it in files"):
        choose(tmp_path / "deploy")


def test_a_file_that_the_containers_name_and_that_has_gone(tmp_path):
    make(tmp_path, "compose.yaml")
    with pytest.raises(p.ProjectError, match=r"gone\.yml, which is not there"):
        choose(tmp_path, running=[labels(tmp_path, [tmp_path / "gone.yml"])])


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("docker: unknown command: docker compose\n\nRun 'docker --help' for more information", "plugin"),
        ("docker: 'compose' is not a docker command.\nSee 'docker --help'", "plugin"),
        ("unknown shorthand flag: 'p' in -p\nSee 'docker --help'.", "plugin"),
        ("yaml: line 4: did not find expected node content", "as it stands, before any change: yaml: line 4"),
        (
            'time="2026" level=warning msg="the attribute `version` is obsolete"\nno such file',
            "before any change: no such file. Nothing",
        ),
    ],
)
def test_recorded_errors_become_one_message(stderr, words):
    assert words in p.explain(stderr, ["/x/compose.yaml"], changed=False)


def test_a_misspelt_service_is_answered_with_the_existing_ones():
    project = p.Project("/x", ("/x/compose.yaml",), False, _model={"name": "x", "services": {"bot": {}, "api": {}}})
    project.all_profiles = True
    with pytest.raises(
        p.ProjectError, match=r"no service 'bto' in compose.yaml. Did you mean bot\? Services: api, bot"
    ):
        project.require(["api", "bto"])


# Which file a change goes to


def project_of(chosen):
    return p.Project(chosen.folder, chosen.files, chosen.explicit)


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (["compose.yaml"], "compose.override.yaml"),
        (["docker-compose.yml"], "docker-compose.override.yml"),
        (["docker-compose.yml", "compose.override.yml"], "compose.override.yml"),
    ],
)
def test_auto_means_the_override_file_where_compose_loads_it(tmp_path, present, expected):
    make(tmp_path, *present)
    project = project_of(choose(tmp_path))
    assert p.target_file(project) == p.target_file(project, "override") == str(tmp_path / expected)


def test_auto_means_the_last_of_the_explicit_files(tmp_path):
    make(tmp_path, "base.yml", "prod.yml")
    project = project_of(choose(tmp_path, files=["base.yml", "prod.yml"]))
    assert p.target_file(project) == str(tmp_path / "prod.yml")
    assert p.target_file(project, "base.yml") == str(tmp_path / "base.yml")
    with pytest.raises(p.ProjectError, match="would be ignored"):
        p.target_file(project, "override")
    with pytest.raises(p.ProjectError, match="none of the files"):
        p.target_file(project, "other.yml")


# With Compose itself

needs_compose = pytest.mark.skipif(
    not shutil.which("docker")
    or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0,
    reason="Compose is not installed",
)


@needs_compose
def test_check_reads_the_new_text_and_leaves_the_file_alone(tmp_path):
    (path,) = make(tmp_path, "compose.yaml")
    project = p.discover(str(tmp_path), environment={})
    before = sorted(os.listdir(tmp_path))
    model = project.check({path: b"services:\n  bot:\n    image: x\n    mem_limit: 50m\n"})
    assert model["services"]["bot"]["mem_limit"] == str(50 * 1024 * 1024)
    assert "mem_limit" not in project.config()["services"]["bot"]
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "compose.yaml").read_text() == TEXT


@needs_compose
def test_check_takes_a_new_override_file_and_relative_paths_stay_right(tmp_path):
    make(tmp_path, "compose.yaml", text="services:\n  bot:\n    image: x\n    env_file: ./bot.env\n")
    (tmp_path / "bot.env").write_text("A=1\n")
    project = p.discover(str(tmp_path), environment={})
    target = p.target_file(project)
    model = project.check({target: b"services:\n  bot:\n    mem_limit: 50m\n    volumes: ['./x:/x']\n"})
    assert model["services"]["bot"]["environment"] == {"A": "1"}
    assert model["services"]["bot"]["volumes"][0]["source"] == str(tmp_path / "x")
    assert not os.path.exists(target)


@needs_compose
def test_pwd_in_a_file_is_the_projects_folder(tmp_path, monkeypatch):
    make(tmp_path, "compose.yaml", text="services:\n  bot:\n    image: x\n    volumes: ['${PWD}/data:/data']\n")
    monkeypatch.chdir("/")
    monkeypatch.setenv("PWD", "/")
    project = p.discover(str(tmp_path), environment={})
    assert project.config()["services"]["bot"]["volumes"][0]["source"] == str(tmp_path / "data")
    argv = [*project.argv, "config"]  # what roles start, from wherever Ansible is
    assert f"source: {tmp_path}/data" in subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@needs_compose
def test_check_refuses_what_compose_refuses(tmp_path):
    (path,) = make(tmp_path, "compose.yaml")
    project = p.discover(str(tmp_path), environment={})
    bad = b"services:\n  bot:\n    image: x\n    mem_limit: 1g\n    deploy: {resources: {limits: {cpus: '1'}}}\n"
    with pytest.raises(p.ProjectError, match=r"does not accept .* with the change: .*can't set distinct values"):
        project.check({path: bad})


@needs_compose
def test_services_of_inactive_profiles_are_found(tmp_path):
    make(tmp_path, "compose.yaml", text=TEXT + "  job:\n    image: x\n    profiles: [jobs]\n")
    project = p.discover(str(tmp_path), environment={})
    project.require(["job"])
    assert "job" in project.config()["services"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_a_file_that_may_not_be_read(tmp_path):
    (path,) = make(tmp_path, "compose.yaml")
    os.chmod(path, 0o600)
    project = p.Project(str(tmp_path), (path,), False)
    os.chmod(tmp_path, 0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(p.ProjectError, match="cannot be read"):
            project.config()
    finally:
        os.seteuid(0)


def test_a_missing_program_is_one_clear_error():
    with pytest.raises(p.ProjectError, match="not installed on this host"):
        p.run_command(["env", "no-such-program-here"])
