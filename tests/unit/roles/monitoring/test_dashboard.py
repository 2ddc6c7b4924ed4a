# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
import yaml
from headroom_sampler.metrics import METRICS

METRIC = re.compile(r"\b(?!headroom_sampler\b)headroom_[a-z0-9_]+")
LABEL = re.compile(r"\{\{\s*(?:\$labels\.)?([a-z_]+)\s*\}\}")

# Metric of the plan -> what a panel or rule for it has to ask for.
PLAN = {
    "memory per container": "headroom_container_memory_working_set_bytes",
    "active users": "headroom_active_users",
    "API response time": "headroom_probe_duration_seconds",
    "errors": "headroom_probe_errors_total",
    "CPU": "headroom_container_cpu_seconds_total",
    "disk": "headroom_host_disk_available_bytes",
    "OOM kills": "headroom_container_oom_kills_total",
}


@pytest.fixture
def dashboard(files) -> dict:
    return json.loads((files / "grafana-dashboard.json").read_text())


@pytest.fixture
def rules(files) -> list[dict]:
    (group,) = yaml.safe_load((files / "alert-rules.yml").read_text())["groups"]
    return group["rules"]


def queries(dashboard: dict) -> list[tuple[str, str]]:
    return [(one["expr"], one["legendFormat"]) for panel in dashboard["panels"] for one in panel["targets"]]


def named(query: str) -> set[str]:
    return set(METRIC.findall(query))


def balanced(query: str) -> bool:
    return all(query.count(one) == query.count(other) for one, other in ("()", "[]", "{}"))


def test_each_query_of_the_dashboard_asks_for_metrics_that_there_are(dashboard):
    asked = queries(dashboard)
    assert len(asked) > 20
    for query, _legend in asked:
        assert named(query), query
        assert named(query) <= set(METRICS), query
        assert balanced(query), query
    variables = [one["definition"] for one in dashboard["templating"]["list"] if one["type"] == "query"]
    assert all(named(one) <= set(METRICS) and named(one) for one in variables)


def test_each_legend_names_a_label_that_the_metric_has(dashboard):
    for query, legend in queries(dashboard):
        for label in LABEL.findall(legend):
            for metric in named(query):
                assert label in METRICS[metric][2], (query, legend)


@pytest.mark.parametrize("metric", PLAN.values(), ids=PLAN)
def test_the_dashboard_shows_the_metrics_of_the_plan(dashboard, metric):
    assert any(metric in named(query) for query, _legend in queries(dashboard))


def test_the_dashboard_shows_the_days_until_a_disk_is_full(dashboard):
    (panel,) = [one for one in dashboard["panels"] if "full" in one["title"]]
    assert panel["fieldConfig"]["defaults"]["unit"] == "d"
    assert "deriv(headroom_host_disk_available_bytes" in panel["targets"][0]["expr"]


def test_panels_do_not_overlap_and_have_ids_of_their_own(dashboard):
    cells: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        own = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}
        assert not own & cells, panel["title"]
        assert max(x for x, _y in own) < 24
        cells |= own
    identities = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(identities)) == len(identities)


def test_each_rule_asks_for_metrics_that_there_are(rules):
    for rule in rules:
        assert named(rule["expr"]) <= set(METRICS), rule["alert"]
        assert named(rule["expr"]), rule["alert"]
        assert balanced(rule["expr"]), rule["alert"]
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        for label in LABEL.findall(" ".join(rule["annotations"].values())):
            assert label == "instance" or any(label in METRICS[metric][2] for metric in named(rule["expr"])), rule[
                "alert"
            ]
    assert len({rule["alert"] for rule in rules}) == len(rules)


@pytest.mark.parametrize("metric", [one for name, one in PLAN.items() if name not in ("active users", "CPU")])
def test_there_is_a_rule_for_what_can_go_wrong(rules, metric):
    assert any(metric in named(rule["expr"]) for rule in rules)


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_prometheus_accepts_the_rules(files):
    subprocess.run(["promtool", "check", "rules", str(files / "alert-rules.yml")], check=True)


def test_the_documented_defaults_are_the_defaults(files):
    role = files.parent
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
    options = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert {name: option["default"] for name, option in options.items()} == defaults
