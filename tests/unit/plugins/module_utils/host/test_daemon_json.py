# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.host import daemon_json
from ansible_collections.smallhost.headroom.plugins.module_utils.host.daemon_json import Around, DaemonJsonError
from hypothesis import given
from hypothesis import strategies as st

PATH = "/etc/docker/daemon.json"
PLAIN = Around(command={}, driver="json-file", swarm=False, open_files=None)
values = st.recursive(st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4)
settings = st.recursive(
    st.dictionaries(st.sampled_from("abcdef"), values, max_size=4),
    lambda deeper: st.dictionaries(st.sampled_from("abcdef"), deeper | values, max_size=4),
    max_leaves=8,
)


def test_no_file_and_an_empty_one_hold_nothing():
    assert daemon_json.parse(None, PATH) == daemon_json.parse(b" \n", PATH) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"debug": true,}', "not valid JSON"),
        (b"[1]", "no JSON object"),
        (b'{"dns": [], "debug": true, "dns": []}', "dns twice"),
        (b"\xff", "not valid JSON"),
    ],
)
def test_what_the_engine_would_stumble_over_is_refused(text, said):
    with pytest.raises(DaemonJsonError, match=said):
        daemon_json.parse(text, PATH)


def test_objects_are_merged_and_the_rest_replaced():
    there = {"log-opts": {"max-size": "1g", "labels": "x"}, "dns": ["1.1.1.1"], "debug": True}
    wanted = {"log-opts": {"max-size": "10m"}, "dns": ["9.9.9.9"]}
    assert daemon_json.merged(there, wanted) == {
        "log-opts": {"max-size": "10m", "labels": "x"},
        "dns": ["9.9.9.9"],
        "debug": True,
    }
    assert there["log-opts"]["max-size"] == "1g"


@given(settings, settings)
def test_taking_out_what_was_merged_in_gives_back_what_was_there(there, wanted):
    assert daemon_json.unmerged(daemon_json.merged(there, wanted), there, wanted) == there


def test_what_somebody_else_added_meanwhile_stays():
    before, wanted = {"dns": ["1.1.1.1"]}, {"live-restore": True, "log-opts": {"max-size": "10m"}}
    edited = {**daemon_json.merged(before, wanted), "debug": True}
    edited["log-opts"]["labels"] = "x"
    assert daemon_json.unmerged(edited, before, wanted) == {
        "dns": ["1.1.1.1"],
        "debug": True,
        "log-opts": {"labels": "x"},
    }


@pytest.mark.parametrize("indent", ["    ", "\t", "  "])
def test_the_files_own_indent_is_kept(indent):
    like = json.dumps({"debug": True}, indent=indent).encode()
    assert daemon_json.serialize({"debug": False}, like) == f'{{\n{indent}"debug": false\n}}\n'.encode()


def test_a_reload_is_enough_for_what_it_looks_at():
    after = {"live-restore": True, "userland-proxy": False, "log-opts": {}, "registry-mirrors": []}
    assert daemon_json.needs_restart(sorted(after), after) == ["log-opts", "userland-proxy"]


def test_a_key_that_is_gone_keeps_its_value_over_a_reload():
    assert daemon_json.needs_restart(["debug", "live-restore"], {}) == ["debug"]


def test_flags_are_read_in_both_spellings():
    command = ["/usr/sbin/dockerd", "-H", "fd://", "--live-restore", "--log-opt", "max-size=1m", "--bip=10.0.0.1/24"]
    assert daemon_json.flags(command) == {
        "host": "fd://",
        "live-restore": "",
        "log-opt": "max-size=1m",
        "bip": "10.0.0.1/24",
    }


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["-H", "fd://", "-H", "tcp://127.0.0.1:2375"], {"host": "tcp://127.0.0.1:2375"}),
        (["-Hfd://"], {"host": "fd://"}),
        (["-H=fd://"], {"host": "fd://"}),
        (["-D", "-l", "warn"], {"debug": "", "log-level": "warn"}),
        (["-DHfd://"], {"debug": "", "host": "fd://"}),
        (["-D=false", "-bnone"], {"debug": "false", "bridge": "none"}),
        (["-G", "docker", "-soverlay2"], {"group": "docker", "storage-driver": "overlay2"}),
    ],
)
def test_flags_of_one_letter_have_their_long_names(words, found):
    assert daemon_json.flags(["/usr/bin/dockerd", *words]) == found


@pytest.mark.parametrize(
    ("around", "wanted", "said"),
    [
        (Around({"live-restore": ""}, "json-file", False, None), {"live-restore": True}, "--live-restore"),
        (Around({"log-opt": "a=b"}, "json-file", False, None), {"log-opts": {"max-size": "1m"}}, "--log-opt"),
        (Around(daemon_json.flags(["dockerd", "-H", "fd://"]), "", False, None), {"hosts": ["fd://"]}, "--host"),
        (
            Around({"add-runtime": "a=b"}, "json-file", False, None),
            {"runtimes": {"x": {"path": "/x"}}},
            "--add-runtime",
        ),
        (Around({}, "journald", False, None), {"log-opts": {"max-size": "1m"}}, "log driver is journald"),
        (Around({}, "json-file", True, None), {"live-restore": True}, "swarm"),
        (Around({}, "json-file", False, 20000), {"default-ulimits": {"nofile": {"Hard": 65536}}}, "20000"),
    ],
)
def test_what_would_break_the_engine_is_left_alone(around, wanted, said):
    taken, skipped = daemon_json.applicable(wanted, {}, around)
    assert taken == {}
    assert said in skipped[0].reason
    assert daemon_json.applicable(wanted, {}, PLAIN) == (wanted, [])


def test_a_driver_that_the_file_names_counts_before_the_one_in_force():
    wanted = {"log-opts": {"max-size": "1m"}}
    assert daemon_json.applicable(wanted, {"log-driver": "syslog"}, PLAIN)[0] == {}
    assert daemon_json.applicable({**wanted, "log-driver": "local"}, {"log-driver": "syslog"}, PLAIN)[1] == []


LIMITS = """Limit                     Soft Limit           Hard Limit           Units
Max processes             unlimited            unlimited            processes
Max open files            1024                 20000                files
"""


def test_a_process_with_the_right_may_open_any_number_of_files():
    assert daemon_json.open_files(LIMITS, "CapEff:\t0000003ffeffffff\n") == 20000
    assert daemon_json.open_files(LIMITS, "CapEff:\t000001ffffffffff\n") is None


# From dockerd --help (20.10.24).
USAGE = """
      --add-runtime runtime                     Register an additional
      --default-ulimit ulimit                   Default ulimits for
      --dns list                                DNS server to use
      --insecure-registry list                  Enable insecure registry
      --live-restore                            Enable live restore of
      --log-opt map                             Default log driver options
      --userland-proxy                          Use userland proxy for
"""


def test_settings_that_dockerd_knows_pass():
    daemon_json.check(
        {
            "live-restore": True,
            "userland-proxy": False,
            "log-opts": {"max-size": "10m"},
            "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 65536, "Soft": 65536}},
            "insecure-registries": [],
            "dns": [],
            "runtimes": {},
        },
        USAGE,
    )


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"live-restores": True}, "knows no setting 'live-restores'"),
        ({"live-restore": "yes"}, "has to be a bool"),
        ({"log-opts": {"max-file": 3}}, "quote the 3 of max-file"),
        ({"log-opts": ["max-file=3"]}, "has to be a dict"),
    ],
)
def test_what_dockerd_would_not_start_with_is_refused(wanted, said):
    with pytest.raises(DaemonJsonError, match=said):
        daemon_json.check(wanted, USAGE)
