# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.drop_in import with_block
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.plan import decide
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.settings import (
    KernelError,
    wanted_hugepages,
    wanted_settings,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.sysctl_d import ConfigFile
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.task import Observed, Request

FILE = "/etc/sysctl.d/90-headroom.conf"
SWAPPINESS = "proc/sys/vm/swappiness"
BYTES, RATIO = "proc/sys/vm/dirty_bytes", "proc/sys/vm/dirty_ratio"
MIN_FREE = "proc/sys/vm/min_free_kbytes"
ENABLED = "sys/kernel/mm/transparent_hugepage/enabled"


def ask(hugepages=None, **settings):
    wanted = wanted_settings([{"name": f"vm.{key}", "value": value} for key, value in settings.items()])
    return Request("me", wanted, wanted_hugepages(hugepages))


def see(live, access="ok", **more):
    empty = {"choices": {}, "originals": {}, "sysctl_files": {}, "tmpfiles_files": {}, "owned_files": []}
    return Observed(live=live, access=dict.fromkeys(live, access), **{**empty, **more})


def conf(name, text):
    return {name: ConfigFile(f"/etc/sysctl.d/{name}", text if isinstance(text, bytes) else text.encode())}


def block(*lines):
    return with_block(None, "me", lines)


def test_only_what_differs_is_written():
    observed = see({SWAPPINESS: "60", MIN_FREE: "9000"}, sysctl_files=conf("90-headroom.conf", b"x.y = 1\n"))
    plan = decide(ask(swappiness=10, min_free_kbytes=9000), observed)
    assert plan.writes == [(SWAPPINESS, "10\n")]
    assert plan.remember == [SWAPPINESS]
    assert plan.files[0].data == b"x.y = 1\n" + block("vm.swappiness = 10", "vm.min_free_kbytes = 9000")


def test_nothing_to_change():
    observed = see({SWAPPINESS: "10"}, sysctl_files=conf("90-headroom.conf", block("vm.swappiness = 10")))
    plan = decide(ask(swappiness=10), observed)
    assert not plan.changed
    assert plan.forget == []


def test_the_partner_is_remembered_with_its_value():
    plan = decide(ask(dirty_bytes=4096), see({BYTES: "0", RATIO: "20"}))
    assert plan.remember == [BYTES, RATIO]


def test_hugepages_remember_what_they_may_raise():
    plan = decide(ask({"enabled": "always"}), see({ENABLED: "never", MIN_FREE: "9000"}))
    assert plan.remember == [ENABLED, MIN_FREE]


def test_what_is_wanted_no_more_gets_its_first_value():
    observed = see(
        {SWAPPINESS: "10", MIN_FREE: "9000"},
        originals={SWAPPINESS: "60"},
        owned_files=[FILE],
        sysctl_files=conf("90-headroom.conf", block("vm.swappiness = 10", "vm.min_free_kbytes = 9000")),
    )
    plan = decide(ask(min_free_kbytes=9000), observed)
    assert plan.writes == [(SWAPPINESS, "60")]
    assert plan.restore == {SWAPPINESS: "60"}
    assert plan.files[0].data == block("vm.min_free_kbytes = 9000")


def test_going_over_to_the_other_of_a_pair_keeps_the_first_values():
    observed = see({BYTES: "4096", RATIO: "0"}, originals={BYTES: "0", RATIO: "20"})
    plan = decide(ask(dirty_ratio=5), observed)
    assert plan.writes == [(RATIO, "5\n")]
    assert plan.restore == {}


def test_what_hugepages_raised_stays_while_they_are_wanted():
    live = {ENABLED: "always", MIN_FREE: "67584"}
    observed = see(live, originals={ENABLED: "never", MIN_FREE: "9000"})
    assert decide(ask({"enabled": "always"}), observed).writes == []
    absent = dataclasses.replace(ask(), absent=True)
    assert decide(absent, observed).writes == [(ENABLED, "never"), (MIN_FREE, "9000")]


def test_min_free_kbytes_is_put_back_when_it_had_been_a_setting_itself():
    observed = see(
        {ENABLED: "always", MIN_FREE: "99999"},
        originals={ENABLED: "never", MIN_FREE: "9000"},
        owned_files=[FILE],
        sysctl_files=conf("90-headroom.conf", block("vm.min_free_kbytes = 99999")),
    )
    assert decide(ask({"enabled": "always"}), observed).writes == [(MIN_FREE, "9000")]


def test_undo_gives_back_files_and_forgets_what_is_gone():
    observed = see({SWAPPINESS: "10"}, originals={SWAPPINESS: "60", BYTES: "0"}, owned_files=[FILE])
    observed = dataclasses.replace(observed, access={SWAPPINESS: "ok", BYTES: "missing"})
    plan = decide(dataclasses.replace(ask(), absent=True), observed)
    assert plan.writes == [(SWAPPINESS, "60")]
    assert plan.lost == [BYTES]
    assert sorted(plan.forget) == [BYTES, SWAPPINESS]
    assert [file.path for file in plan.give_back] == [FILE]


def test_a_missing_key():
    observed = see({SWAPPINESS: "10"})
    observed = dataclasses.replace(observed, access={SWAPPINESS: "ok", "proc/sys/vm/gone": "missing"})
    request = ask(swappiness=10, gone=1)
    with pytest.raises(KernelError, match=r"no vm\.gone .*Nothing was changed.*on_missing: skip"):
        decide(request, observed)
    plan = decide(dataclasses.replace(request, skip_missing=True), observed)
    assert plan.missing == ["vm.gone"]
    assert plan.files[0].data == block("vm.swappiness = 10")


def test_read_only():
    observed = see({SWAPPINESS: "60"}, access="readonly")
    with pytest.raises(KernelError, match=r"now 60\) cannot be written.*on_readonly: persist"):
        decide(ask(swappiness=10), observed)
    plan = decide(dataclasses.replace(ask(swappiness=10), persist_only=True), observed)
    assert plan.writes == []
    assert plan.remember == []
    assert plan.readonly == [SWAPPINESS]
    assert plan.files[0].changed


def test_read_only_does_not_matter_where_nothing_has_to_change():
    assert decide(ask(swappiness=60), see({SWAPPINESS: "60"}, access="readonly")).readonly == []


def test_a_value_that_the_kernel_only_shows():
    for persist in (False, True):
        with pytest.raises(KernelError, match="can only be read"):
            decide(
                dataclasses.replace(ask(swappiness=1), persist_only=persist), see({SWAPPINESS: "60"}, access="fixed")
            )


def test_an_action_is_no_setting():
    with pytest.raises(KernelError, match="starts an action"):
        decide(ask(swappiness=1), see({SWAPPINESS: None}, access="action"))


def test_a_mode_that_this_kernel_does_not_offer():
    observed = see({ENABLED: "never"}, choices={ENABLED: ["always", "never"]})
    with pytest.raises(KernelError, match="offers always, never, not madvise"):
        decide(ask({"enabled": "madvise"}), observed)


def test_a_later_file_is_named():
    observed = see({SWAPPINESS: "10"}, sysctl_files=conf("99-x.conf", "\nvm.swappiness=60"))
    (file,) = decide(ask(swappiness=10), observed).files
    assert file.overridden[SWAPPINESS].where == "/etc/sysctl.d/99-x.conf:2"
    same = see({SWAPPINESS: "10"}, sysctl_files=conf("99-x.conf", "vm.swappiness=10"))
    assert decide(ask(swappiness=10), same).files[0].overridden == {}


def test_a_line_below_our_block_is_named_by_its_number():
    observed = see(
        {SWAPPINESS: "10"}, sysctl_files=conf("90-headroom.conf", block("vm.swappiness = 10") + b"vm.swappiness=1")
    )
    (file,) = decide(ask(swappiness=10), observed).files
    assert file.overridden[SWAPPINESS].where == f"{FILE}:4"
    (file,) = decide(dataclasses.replace(ask(swappiness=10), take_over=True), observed).files
    assert (file.path, file.overridden) == (FILE, {})
    assert file.data == b"vm.swappiness=1\n" + block("vm.swappiness = 10")


def test_taking_over_changes_only_our_own_name():
    request = dataclasses.replace(ask(swappiness=10), take_over=True)
    others = conf("99-sysctl.conf", "vm.swappiness=60")
    (file,) = decide(request, see({SWAPPINESS: "10"}, sysctl_files=others)).files
    assert file.path == "/etc/sysctl.d/99-zz-headroom.conf"
    assert file.overridden == {}
    again = see(
        {SWAPPINESS: "10"},
        sysctl_files={**others, **conf("99-zz-headroom.conf", file.data)},
        owned_files=[file.path],
    )
    assert not decide(request, again).changed


def test_taking_over_moves_from_the_old_name_and_back():
    request = dataclasses.replace(ask(swappiness=10), take_over=True)
    mine, late = conf("90-headroom.conf", block("vm.swappiness = 10")), conf("99-x.conf", "vm.swappiness=60")
    observed = see({SWAPPINESS: "10"}, sysctl_files={**mine, **late}, owned_files=[FILE])
    plan = decide(request, observed)
    assert [file.path for file in plan.files] == ["/etc/sysctl.d/99-zz-headroom.conf"]
    assert [file.path for file in plan.give_back] == [FILE]


def test_taking_over_does_not_land_in_somebody_elses_file():
    request = dataclasses.replace(ask(swappiness=10), take_over=True)
    files = {**conf("98-x.conf", "vm.swappiness=60"), **conf("99-headroom.conf", "# mine, says somebody")}
    (file,) = decide(request, see({SWAPPINESS: "10"}, sysctl_files=files)).files
    assert file.path == "/etc/sysctl.d/99-zz-headroom.conf"


def test_hugepages_are_taken_over_with_an_earlier_name():
    files = {"a.conf": ConfigFile("/etc/tmpfiles.d/a.conf", f"w /{ENABLED} - - - - never".encode())}
    observed = see({ENABLED: "always"}, tmpfiles_files=files)
    (file,) = decide(ask({"enabled": "always"}), observed).files
    assert file.overridden[ENABLED].where == "/etc/tmpfiles.d/a.conf:1"
    (file,) = decide(dataclasses.replace(ask({"enabled": "always"}), take_over=True), observed).files
    assert (file.path, file.overridden) == ("/etc/tmpfiles.d/00-headroom-thp.conf", {})


def test_a_masked_file_is_not_written_through():
    observed = see({SWAPPINESS: "10"}, sysctl_files={"90-headroom.conf": ConfigFile(FILE, b"", masked=True)})
    with pytest.raises(KernelError, match="masked"):
        decide(ask(swappiness=10), observed)


@pytest.mark.parametrize("path", ["/opt/90-headroom.conf", "/etc/sysctl.d/90-headroom", "/usr/lib/sysctl.d/50-a.conf"])
def test_a_file_that_the_boot_does_not_read(path):
    observed = see({SWAPPINESS: "10"}, sysctl_files=conf("50-a.conf", "x.y=1"))
    (file,) = decide(dataclasses.replace(ask(swappiness=10), file=path), observed).files
    assert not file.at_boot
