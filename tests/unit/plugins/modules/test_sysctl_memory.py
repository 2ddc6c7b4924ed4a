# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module over a whole tree under another root: live values, files, journal and the way back."""

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.settings import KernelError, LiveTree
from ansible_collections.smallhost.headroom.plugins.module_utils.tasks.sysctl_memory import ARGUMENT_SPEC, run

FILE, TWIN = "etc/sysctl.d/90-headroom.conf", "etc/tmpfiles.d/headroom-thp.conf"


def snapshot(root):
    """Every folder and every file with its bytes and mode."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            content = os.readlink(path) if os.path.islink(path) else None
            if content is None and os.path.isfile(path):
                with open(path, "rb") as stream:
                    content = stream.read()
            found[os.path.relpath(path, root)] = (os.lstat(path).st_mode, content)
    return found


@pytest.fixture
def host(tmp_path):
    root = tmp_path / "root"
    for path, text in {
        "proc/sys/vm/swappiness": "60\n",
        "proc/sys/vm/max_map_count": "65530",
        "proc/sys/net/ipv4/tcp_rmem": "4096\t131072\t6291456\n",
        "proc/sys/net/ipv4/conf/eth0.100/rp_filter": "0\n",
        "proc/meminfo": "MemTotal: 2969600 kB\nSwapTotal: 0 kB\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
        "etc/sysctl.d/README": "",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


@pytest.fixture
def call(host, tmp_path):
    def _call(check_mode=False, **params):
        defaults = {key: spec.get("default") for key, spec in ARGUMENT_SPEC.items()}
        given = {**defaults, "root": str(host), "state_dir": str(tmp_path / "state"), **params}
        hugepages = given["transparent_hugepage"]
        given["transparent_hugepage"] = hugepages and {"enabled": None, "defrag": None, **hugepages}
        return run(given, check_mode)

    return _call


def settings(**values):
    return [{"name": name.replace("__", "."), "value": value} for name, value in values.items()]


SOME = settings(vm__swappiness=10, net__ipv4__tcp_rmem="4096 87380 6291456")


def test_check_run_again_and_undo(call, host, tmp_path):
    before = snapshot(host)
    wish = {"settings": SOME, "transparent_hugepage": {"enabled": "never"}}
    checked = call(check_mode=True, **wish)
    assert snapshot(host) == before
    assert not (tmp_path / "state").exists()
    done = call(**wish)
    assert checked["changed"] and done["changed"]
    assert [entry["after"] for entry in checked["diff"]] == [entry["after"] for entry in done["diff"]]
    assert (host / "proc/sys/vm/swappiness").read_text() == "10\n"
    assert "net.ipv4.tcp_rmem = 4096 87380 6291456\n" in (host / FILE).read_text()
    assert "w /sys/kernel/mm/transparent_hugepage/enabled - - - - never\n" in (host / TWIN).read_text()
    after = snapshot(host)
    again = call(**wish)
    assert not again["changed"]
    assert again["diff"] == []
    assert call(check_mode=True, **wish)["changed"] is False
    assert snapshot(host) == after
    assert call(check_mode=True, state="absent")["changed"]
    assert snapshot(host) == after
    assert call(state="absent")["changed"]
    assert snapshot(host) == before
    assert not call(state="absent")["changed"]


def test_rows(call):
    (row, _other) = call(settings=SOME)["settings"]
    assert row == {
        "name": "vm.swappiness",
        "before": "60",
        "after": "10",
        "live": "10",
        "persisted": True,
        "overridden_by": None,
        "effect": "no swap: swappiness has no effect on anonymous memory",
        "diff": {"before": "60", "after": "10"},
    }


def test_the_interface_with_a_dot_in_its_name(call, host):
    call(settings=[{"name": "net.ipv4.conf.eth0/100.rp_filter", "value": 1}])
    assert (host / "proc/sys/net/ipv4/conf/eth0.100/rp_filter").read_text() == "1\n"
    assert "net/ipv4/conf/eth0.100/rp_filter = 1\n" in (host / FILE).read_text()


def test_a_setting_taken_out_of_the_list_gets_its_value_back(call, host):
    call(settings=settings(vm__swappiness=10, vm__max_map_count=262144))
    result = call(settings=settings(vm__max_map_count=262144))
    assert result["restored"] == [{"name": "vm.swappiness", "before": "10", "after": "60"}]
    assert (host / "proc/sys/vm/swappiness").read_text() == "60\n"
    assert "swappiness" not in (host / FILE).read_text()


def test_the_first_value_counts_over_several_runs(call, host):
    before = snapshot(host)
    for value in (10, 20, 30):
        call(settings=settings(vm__swappiness=value))
    call(state="absent")
    assert snapshot(host) == before


def test_a_file_of_somebody_elses_keeps_its_bytes(call, host):
    (host / FILE).write_bytes(b"# mine\r\nkernel.panic=10")
    os.chmod(host / FILE, 0o640)
    before = snapshot(host)
    call(settings=SOME)
    assert (host / FILE).read_bytes().startswith(b"# mine\r\nkernel.panic=10\n# BEGIN")
    call(state="absent")
    assert snapshot(host) == before


def test_what_others_added_to_our_file_stays(call, host):
    call(settings=SOME)
    with open(host / FILE, "ab") as stream:
        stream.write(b"kernel.panic = 10\n")
    call(state="absent")
    assert (host / FILE).read_bytes() == b"kernel.panic = 10\n"


def test_folders_that_were_made_go_again(call, host):
    (host / "etc/sysctl.d/README").unlink()
    (host / "etc/sysctl.d").rmdir()
    (host / "etc").rmdir()
    before = snapshot(host)
    call(settings=SOME, transparent_hugepage={"enabled": "never"})
    call(state="absent")
    assert snapshot(host) == before


def test_another_file_name_moves_the_drop_in(call, host):
    before = snapshot(host)
    call(settings=SOME)
    call(settings=SOME, file="/etc/sysctl.d/80-other.conf")
    assert not (host / FILE).exists()
    call(state="absent")
    assert snapshot(host) == before


def test_two_keys_of_undo_in_one_file(call, host):
    before = snapshot(host)
    call(settings=settings(vm__swappiness=10), undo_key="one")
    call(settings=settings(vm__max_map_count=262144), undo_key="two")
    assert not call(settings=settings(vm__swappiness=10), undo_key="one")["changed"]
    call(state="absent", undo_key="one")
    assert (host / "proc/sys/vm/swappiness").read_text() == "60\n"
    assert (host / "proc/sys/vm/max_map_count").read_text() == "262144\n"
    call(state="absent", undo_key="two")
    assert snapshot(host) == before


@pytest.mark.parametrize("second", [10, 20])
@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_two_keys_of_undo_want_the_same_setting(call, host, order, second):
    before = snapshot(host)
    values = {"one": 10, "two": second}
    for key, value in values.items():
        wish = settings(vm__swappiness=value)
        call(settings=wish, transparent_hugepage={"enabled": "never"}, undo_key=key, file=f"/etc/sysctl.d/9{key}.conf")
    call(state="absent", undo_key=order[0])
    assert (host / "proc/sys/vm/swappiness").read_text() == f"{values[order[1]]}\n"
    assert (host / "sys/kernel/mm/transparent_hugepage/enabled").read_text() == "always madvise [never]\n"
    call(state="absent", undo_key=order[1])
    assert snapshot(host) == before


def test_a_later_file_and_taking_over(call, host):
    (host / "etc/sysctl.d/99-late.conf").write_text("vm.swappiness = 60\n")
    before = snapshot(host)
    result = call(settings=SOME)
    assert result["settings"][0]["overridden_by"] == "/etc/sysctl.d/99-late.conf:1"
    assert any("/etc/sysctl.d/99-late.conf:1 sets vm.swappiness = 60" in text for text in result["warnings"])
    result = call(settings=SOME, take_over=True)
    assert result["settings"][0]["overridden_by"] is None
    assert result["files"] == ["/etc/sysctl.d/99-zz-headroom.conf"]
    assert not (host / FILE).exists()
    assert not call(settings=SOME, take_over=True)["changed"]
    call(state="absent")
    assert snapshot(host) == before


def test_sysctl_conf_without_its_link_is_told_apart(call, host):
    (host / "etc/sysctl.conf").write_text("vm.swappiness = 60\n")
    result = call(settings=SOME)
    assert result["settings"][0]["overridden_by"] is None
    assert any("`sysctl --system` run by hand" in text for text in result["warnings"])
    os.symlink("../sysctl.conf", host / "etc/sysctl.d/99-sysctl.conf")
    result = call(settings=SOME)
    assert result["settings"][0]["overridden_by"] == "/etc/sysctl.d/99-sysctl.conf:1"
    assert not any("by hand" in text for text in result["warnings"])


def test_an_image_without_a_kernel_gets_only_files(call, tmp_path):
    image = tmp_path / "image"
    image.mkdir()
    result = call(root=str(image), settings=SOME, transparent_hugepage={"enabled": "never"})
    assert [row["live"] for row in result["settings"]] == [None, None]
    assert (image / FILE).exists() and (image / TWIN).exists()
    assert not call(root=str(image), settings=SOME, transparent_hugepage={"enabled": "never"})["changed"]
    call(root=str(image), state="absent")
    assert snapshot(image) == {}


def test_undo_of_one_root_leaves_the_other(call, host, tmp_path):
    image = tmp_path / "image"
    image.mkdir()
    call(settings=SOME)
    call(root=str(image), settings=SOME)
    call(root=str(image), state="absent")
    assert (host / FILE).exists()
    assert (host / "proc/sys/vm/swappiness").read_text() == "10\n"


def test_a_missing_key_changes_nothing(call, host):
    before = snapshot(host)
    with pytest.raises(KernelError, match="Nothing was changed"):
        call(settings=[*SOME, {"name": "vm.gone", "value": 1}])
    assert snapshot(host) == before
    assert call(settings=[*SOME, {"name": "vm.gone", "value": 1}], on_missing="skip")["missing"] == ["vm.gone"]


def test_a_link_is_not_written_through(call, host):
    (host / "etc/other.conf").write_text("")
    os.symlink("../other.conf", host / FILE)
    with pytest.raises(KernelError, match="is a link to"):
        call(settings=SOME)
    os.unlink(host / FILE)
    os.symlink("/dev/null", host / FILE)
    with pytest.raises(KernelError, match="masked"):
        call(settings=SOME)


def test_a_file_that_cannot_be_written_puts_the_values_back(call, host):
    (host / TWIN).mkdir(parents=True)
    (host / TWIN / "x").touch()
    before = snapshot(host)
    with pytest.raises(KernelError, match=r"Is a directory\. Nothing was changed\."):
        call(settings=SOME, transparent_hugepage={"enabled": "never"})
    assert snapshot(host) == before


def test_a_value_that_could_not_be_put_back_is_said_and_put_back_later(call, host, monkeypatch):
    before, written, write = snapshot(host), [], LiveTree.write

    def failing(tree, entry, text):
        written.append(entry)
        if len(written) > 1:
            raise OSError(errno.EIO, "Input/output error", entry)
        write(tree, entry, text)

    monkeypatch.setattr(LiveTree, "write", failing)
    with pytest.raises(KernelError, match=r"failed too: the kernel rejects '60' for .*swappiness.* state: absent"):
        call(settings=SOME)
    assert (host / "proc/sys/vm/swappiness").read_text() == "10\n"
    monkeypatch.setattr(LiveTree, "write", write)
    assert {"name": "vm.swappiness", "before": "10", "after": "60"} in call(state="absent")["restored"]
    assert snapshot(host) == before


@pytest.mark.parametrize("key", ["two\nlines", "a:b"])
def test_an_undo_key_that_cannot_mark_a_block(call, key):
    with pytest.raises(KernelError, match="undo_key"):
        call(settings=SOME, undo_key=key)
