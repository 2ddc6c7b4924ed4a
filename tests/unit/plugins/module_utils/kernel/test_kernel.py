# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.settings import (
    KernelError,
    LiveTree,
    display_key,
    normalize_key,
    same_value,
    setting_entry,
    setting_value,
    wanted_hugepages,
    wanted_settings,
    write_order,
)

SWAPPINESS = "proc/sys/vm/swappiness"
BYTES, RATIO = "proc/sys/vm/dirty_bytes", "proc/sys/vm/dirty_ratio"
ENABLED, MIN_FREE = "sys/kernel/mm/transparent_hugepage/enabled", "proc/sys/vm/min_free_kbytes"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("vm.swappiness", "vm/swappiness"),
        ("vm/swappiness", "vm/swappiness"),
        ("net.ipv4.conf.eth0/100.rp_filter", "net/ipv4/conf/eth0.100/rp_filter"),
        ("net/ipv4/conf/eth0.100/rp_filter", "net/ipv4/conf/eth0.100/rp_filter"),
        ("/vm//swappiness", "vm/swappiness"),
    ],
)
def test_keys_are_read_as_sysctl_d_reads_them(name, path):
    assert normalize_key(name) == path


def test_a_key_is_shown_so_that_it_reads_back_the_same():
    assert display_key("vm/swappiness") == "vm.swappiness"
    for path in ("vm/swappiness", "net/ipv4/conf/eth0.100/rp_filter"):
        assert normalize_key(display_key(path)) == path


@pytest.mark.parametrize(
    "name", ["", "swappiness", "vm swappiness", "-vm.swappiness", "vm.x=1", "vm/../kernel/x", "#vm.x", "net.ipv4.*.x"]
)
def test_what_is_no_key_is_refused(name):
    with pytest.raises(KernelError):
        setting_entry(name)


@pytest.mark.parametrize(
    ("given", "text"), [(10, "10"), ("10 ", "10"), ("4096\t87380  6291456", "4096 87380 6291456"), (-1, "-1"), (0, "0")]
)
def test_values(given, text):
    assert setting_value("vm.x", given) == text


@pytest.mark.parametrize("given", [True, False, "True", "False", None, 1.5, [1], {"a": 1}, "", "  ", "1\n2"])
def test_what_yaml_bent_is_refused(given):
    with pytest.raises(KernelError):
        setting_value("vm.x", given)


def test_a_boolean_is_explained():
    with pytest.raises(KernelError, match=r"vm\.swappiness: YAML made the boolean True"):
        wanted_settings([{"name": "vm.swappiness", "value": True}])


def test_the_same_key_twice_is_refused_in_any_spelling():
    with pytest.raises(KernelError, match="given twice, as '10' and as 20"):
        wanted_settings([{"name": "vm.swappiness", "value": 10}, {"name": "vm/swappiness", "value": 20}])


def test_a_pair_that_switches_each_other_off_is_refused():
    with pytest.raises(KernelError, match="switch each other off"):
        wanted_settings([{"name": "vm.dirty_bytes", "value": 1}, {"name": "vm.dirty_ratio", "value": 1}])


def test_no_hugepages_asked_for():
    assert wanted_hugepages(None) == []
    assert [item.entry for item in wanted_hugepages({"enabled": "madvise", "defrag": None})] == [ENABLED]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10", "10", True),
        ("0x10", "16", True),
        ("010", "8", True),
        ("4096\t87380", "4096 87380", True),
        ("4096 87380", "4096", False),
        ("10", "100", False),
        ("a", "b", False),
        (None, "1", False),
        (None, None, True),
    ],
)
def test_same_value(one, other, same):
    assert same_value(one, other) is same


@pytest.mark.parametrize(
    ("values", "writes"),
    [
        ({BYTES: "0", RATIO: "20"}, [(RATIO, "20")]),
        ({RATIO: "0", BYTES: "4096"}, [(BYTES, "4096")]),
        ({BYTES: "0"}, [(BYTES, "0")]),
        ({MIN_FREE: "9", ENABLED: "never"}, [(ENABLED, "never"), (MIN_FREE, "9")]),
    ],
)
def test_no_write_undoes_another(values, writes):
    assert write_order(values) == writes


def test_a_pair_of_zeros_is_written_once():
    assert len(write_order({BYTES: "0", RATIO: "0"})) == 1


@pytest.fixture
def tree(tmp_path):
    for entry, text in {SWAPPINESS: "60\n", ENABLED: "always [madvise] never\n"}.items():
        path = tmp_path / entry
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return LiveTree(str(tmp_path))


def test_live_values(tree):
    assert tree.read(SWAPPINESS) == "60"
    assert tree.read(ENABLED) == "madvise"
    assert tree.choices(ENABLED) == ["always", "madvise", "never"]
    assert tree.read("proc/sys/vm/gone") is None
    tree.write(SWAPPINESS, "1\n")
    assert tree.read(SWAPPINESS) == "1"


def test_a_plain_file_shows_a_choice_as_the_kernel_would(tree, tmp_path):
    tree.write(ENABLED, "never\n")
    assert (tmp_path / ENABLED).read_text() == "always madvise [never]\n"


def test_access_writes_nothing(tree, tmp_path):
    assert tree.access(SWAPPINESS) == "ok"
    assert tree.access("proc/sys/vm/gone") == tree.access("proc/sys/vm") == "missing"
    os.chmod(tmp_path / SWAPPINESS, 0o200)
    assert tree.access(SWAPPINESS) == "action"
    os.chmod(tmp_path / SWAPPINESS, 0o444)
    assert tree.access(SWAPPINESS) == "fixed"
    os.chmod(tmp_path / SWAPPINESS, 0o644)
    assert tree.read(SWAPPINESS) == "60"


def test_an_image_without_a_kernel_has_only_files(tmp_path):
    assert not LiveTree(str(tmp_path)).holds(SWAPPINESS)
    assert LiveTree("/").holds(SWAPPINESS)


@pytest.mark.skipif(not os.path.exists("/proc/sys/vm/drop_caches"), reason="needs Linux's /proc/sys")
def test_access_as_the_real_kernel_has_it():
    live = LiveTree("/")
    assert live.access("proc/sys/vm/drop_caches") == "action"
    assert live.access("proc/sys/kernel/version") == "fixed"
    assert live.access("proc/sys/vm/swappiness") in ("ok", "readonly")
