# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import limits

MIB = 1024 * 1024
ALL = {"memory": 120 * MIB, "memory_swap": 120 * MIB, "memory_reservation": 64 * MIB, "cpus": 0.5, "pids": 200}
LIMITS = ("deploy", "resources", "limits")
RESERVATIONS = ("deploy", "resources", "reservations")

CLASSIC = [
    (("mem_limit",), "120M"),
    (("memswap_limit",), "120M"),
    (("mem_reservation",), "64M"),
    (("cpus",), 0.5),
    (("pids_limit",), 200),
]
DEPLOY = [
    ((*LIMITS, "memory"), "120M"),
    (("memswap_limit",), "120M"),
    ((*RESERVATIONS, "memory"), "64M"),
    ((*LIMITS, "cpus"), "0.5"),
    ((*LIMITS, "pids"), 200),
]


def resources(**parts):
    return {"deploy": {"resources": parts}}


@pytest.mark.parametrize(
    ("service", "prefer_deploy", "expected"),
    [
        ({}, False, CLASSIC),
        ({}, True, DEPLOY),
        ({"mem_limit": "1048576"}, True, CLASSIC),
        ({"pids_limit": 5}, True, CLASSIC),
        (resources(limits={"cpus": 1}), False, DEPLOY),
        (resources(limits={}), False, DEPLOY),
    ],
)
def test_the_style_of_the_service_counts_then_that_of_the_file(service, prefer_deploy, expected):
    assert limits.plan(service, ALL, prefer_deploy) == expected


def test_a_base_with_only_cpus_below_deploy_never_gets_mem_limit():
    service = resources(limits={"cpus": 1})
    assert limits.plan(service, {"memory": MIB * 50}, False) == [((*LIMITS, "memory"), "50M")]


def test_reserved_devices_alone_forbid_only_mem_reservation():
    service = resources(reservations={"devices": [{"capabilities": ["gpu"]}]})
    planned = dict(limits.plan(service, {"memory": 50 * MIB, "memory_reservation": 20 * MIB}, False))
    assert planned == {("mem_limit",): "50M", (*RESERVATIONS, "memory"): "20M"}


def test_where_both_places_are_in_use_both_are_written():
    service = {"mem_limit": str(MIB), **resources(limits={"memory": str(MIB)})}
    planned = limits.plan(service, {"memory": 2 * MIB}, False)
    assert planned == [((*LIMITS, "memory"), "2M"), (("mem_limit",), "2M")]


def test_a_cpu_quota_stays_a_quota():
    service = {"cpu_quota": "25000", "cpu_period": "50000"}
    assert limits.effective(service)["cpus"] == 0.5
    assert limits.plan(service, {"cpus": 0.8}, False) == [(("cpu_quota",), 40000)]
    assert limits.plan(service, {"cpus": 0.5}, False) == []


@pytest.mark.parametrize(
    ("service", "wanted"),
    [
        ({"mem_limit": "120m"}, {"memory": 120 * MIB}),
        ({"mem_limit": str(120 * MIB)}, {"memory": 120 * MIB}),
        (resources(limits={"memory": "0.1171875g"}), {"memory": 120 * MIB}),
        ({"cpus": "0.50"}, {"cpus": 0.5}),
        (resources(limits={"cpus": 0.5}), {"cpus": 0.5}),
        ({"pids_limit": 0}, {"pids": -1}),
        ({"memswap_limit": -1, "mem_limit": 5 * MIB}, {"memory_swap": -1}),
        ({}, {"memory": None, "cpus": None}),
    ],
)
def test_values_are_compared_not_spellings(service, wanted):
    assert limits.plan(service, wanted, False) == []
    assert limits.unmet(service, wanted) == []


def test_deploy_counts_over_the_older_keys():
    service = {"mem_limit": str(MIB), **resources(limits={"memory": str(2 * MIB)})}
    assert limits.effective(service)["memory"] == 2 * MIB


def test_swap_without_end():
    assert limits.plan({}, {"memory": MIB, "memory_swap": -1}, False)[1] == (("memswap_limit",), -1)


def test_unmet_names_what_is_overruled():
    assert limits.unmet({"mem_limit": str(MIB)}, {"memory": 2 * MIB, "pids": 5}) == ["memory", "pids"]


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        ({"a": {}, "b": None}, False),
        ({"a": resources(limits={"cpus": 1}), "b": {}}, True),
        ({"a": resources(limits={"cpus": 1}), "b": {"mem_limit": 1}}, False),
        ({"a": resources(reservations={"memory": 1})}, False),
    ],
)
def test_the_files_style(services, expected):
    assert limits.uses_deploy(services) is expected


@pytest.mark.parametrize(
    ("service", "count"),
    [({}, 1), ({"scale": 3}, 3), ({"deploy": {"replicas": 2}}, 2), ({"deploy": {"replicas": 0}}, 0)],
)
def test_replicas(service, count):
    assert limits.replicas(service) == count
