# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the sandbox decides without touching a machine: command lines, inventories, what it reads out of texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox import apt, container, images, ssh, state
from sandbox.__main__ import parser
from sandbox.process import SandboxError, run

HOST = state.Instance("trial", "container", 40022, "2900m", 2)


def option_values(arguments: list[str], option: str) -> list[str]:
    return [value for name, value in zip(arguments, arguments[1:]) if name == option]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "headroom" / "sandbox"


def test_host_gets_its_memory_without_swap_beside_it():
    arguments = container.run_arguments(HOST, "image:1", "ssh-ed25519 KEY", with_sys_resource=True)
    assert option_values(arguments, "--memory") == option_values(arguments, "--memory-swap") == ["2900m"]
    assert option_values(arguments, "--cpus") == ["2"]
    assert arguments[-1] == "image:1"


def test_host_is_reached_on_loopback_only():
    arguments = container.run_arguments(HOST, "image:1", "ssh-ed25519 KEY", with_sys_resource=True)
    assert option_values(arguments, "--publish") == ["127.0.0.1:40022:22"]


@pytest.mark.parametrize(("present", "dropped"), [(True, []), (False, ["SYS_RESOURCE"])])
def test_a_capability_that_the_machine_lacks_is_not_asked_for(present, dropped):
    assert option_values(container.rights(present), "--cap-drop") == dropped
    assert "--privileged" not in container.rights(present)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Name:\tx\nCapBnd:\t000001ffffffffff\n", True),
        ("Name:\tx\nCapBnd:\t000001fffeffffff\n", False),
        ("CapEff:\t000001ffffffffff\nCapBnd:\t0000000000000000\n", False),
        ("Name:\tx\n", False),
    ],
)
def test_capability_is_read_from_the_bounding_set(status, expected):
    assert container.may_raise_limits(status) is expected


def test_seccomp_profile_keeps_the_machine_underneath_as_it_is():
    profile = json.loads(container.SECCOMP.read_text())
    denied = {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ERRNO" for name in rule["names"]}
    assert {"swapon", "swapoff", "settimeofday", "clock_settime", "init_module", "kexec_load"} <= denied
    assert profile["defaultAction"] == "SCMP_ACT_ALLOW"


def test_inventory_holds_one_host_with_all_that_ansible_needs(cache):
    inventory = json.loads(ssh.inventory(HOST, Path("/keys/one")))
    assert list(inventory["all"]["hosts"]) == ["smallhost"]
    host = inventory["all"]["hosts"]["smallhost"]
    assert (host["ansible_host"], host["ansible_port"]) == ("127.0.0.1", 40022)
    assert host["ansible_ssh_private_key_file"] == "/keys/one"
    assert host["ansible_ssh_pipelining"] is True
    assert "ControlPersist" in host["ansible_ssh_args"]
    assert f"UserKnownHostsFile={cache}/instances/trial/known_hosts" in host["ansible_ssh_common_args"]
    assert "StrictHostKeyChecking=no" in host["ansible_ssh_common_args"]


def test_mirror_is_the_first_whole_archive():
    lines = "http://a.test/extra/ Other main\nhttp://b.test/debian/ Debian contrib\nhttp://c.test/debian/ Debian main\n"
    assert apt.parse_mirror(lines) == "http://c.test/debian/"


def test_no_debian_archive_is_an_error_with_a_way_out():
    with pytest.raises(SandboxError, match="HEADROOM_MIRROR"):
        apt.parse_mirror("http://a.test/ubuntu/ Ubuntu main\n")


def test_private_apt_root_leaves_the_machines_lists_alone():
    settings = apt.apt_options(Path("/cache/apt/trixie"))
    assert settings[::2] == ["-o"] * (len(settings) // 2)
    assert {
        "Dir::State=/cache/apt/trixie/state",
        "Dir::Cache=/cache/apt/trixie/cache",
        "Dir::Etc::SourceParts=-",
    } <= set(settings)


def test_recipe_name_follows_its_contents(tmp_path):
    script = tmp_path / "customize.sh"
    script.write_text("true\n")
    recipe = images.Recipe(("a", "b"), script, ("vm", "/one/compose_1.deb"))
    before = recipe.digest()
    assert images.Recipe(("a", "b"), script, ("vm", "/elsewhere/compose_1.deb")).digest() == before
    assert images.Recipe(("a", "c"), script, ("vm", "/one/compose_1.deb")).digest() != before
    assert images.Recipe(("a", "b"), script, ("vm", "/one/compose_2.deb")).digest() != before
    script.write_text("false\n")
    assert recipe.digest() != before


def test_mmdebstrap_hook_survives_blanks_in_paths(tmp_path):
    folder = tmp_path / "with blank"
    folder.mkdir()
    script = folder / "customize.sh"
    script.write_text('printf "%s|" "$@"\n')
    argv = images.mmdebstrap_argv(images.Recipe(("a",), script, ("vm", "/x y.deb")), "-", "http://mirror.test/")
    hook = next(word for word in argv if word.startswith("--customize-hook=")).partition("=")[2]
    assert run(["sh", "-c", hook, "exec", "/the root"]) == "/the root|vm|/x y.deb|"


def test_host_is_remembered_and_found_again(cache):
    assert state.load("trial") is None
    HOST.save()
    assert state.load("trial") == HOST
    assert state.names() == ["trial"]
    with pytest.raises(SandboxError, match="up --name other"):
        state.require("other")


def test_two_caches_do_not_share_their_engine_objects(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/one")
    one = state.label()
    monkeypatch.setenv("XDG_CACHE_HOME", "/two")
    assert state.label() != one


def test_command_after_the_dashes_is_left_alone():
    arguments = parser().parse_args(["run", "--name", "trial", "--", "ls", "--name", "x"])
    assert arguments.name == "trial"
    assert arguments.words[-3:] == ["ls", "--name", "x"]


def test_failed_program_says_what_it_said():
    with pytest.raises(SandboxError, match="code 3:\nno such thing"):
        run(["sh", "-c", "echo no such thing >&2; exit 3"])
