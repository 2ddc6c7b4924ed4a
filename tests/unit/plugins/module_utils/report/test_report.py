# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a host whose data were recorded on the sandbox: stage 1 applied, taken back, applied again."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jinja2")
from ansible_collections.smallhost.headroom.plugins.module_utils.report import charts as report_charts
from ansible_collections.smallhost.headroom.plugins.module_utils.report import model as report_model
from ansible_collections.smallhost.headroom.plugins.module_utils.report import page as report_page

ROOT = Path(__file__).resolve().parents[5]
TEMPLATES = str(ROOT / "roles/report/templates")
DATA = Path(__file__).parent / "report_data/smallhost.json"

HOSTILE = "<img src=x onerror=alert(1)>|`*_\"'{{ 7 * 7 }}"


@pytest.fixture
def data() -> dict[str, Any]:
    return json.loads(DATA.read_text())


class Elements(HTMLParser):
    """The names of a page's elements, and the elements that stay open."""

    VOID = ("meta", "br", "link", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def finding() -> dict[str, Any]:
    return {
        "id": "swap_missing",
        "severity": "medium",
        "subject": "host",
        "figure": "no swap",
        "why": "Nothing takes the peak.",
        "remedy": "Add swap (stage 2).",
        "item": 5,
    }


def texts(data: dict[str, Any]) -> dict[str, str]:
    return report_page.render(report_model.build(data), TEMPLATES)


# What it says


def test_the_figures_of_a_stage_are_those_that_were_measured(data):
    stage = report_model.build(data)["stages"][0]
    run = data["runs"][0]
    assert stage["title"] == "Stage 1: Quick wins"
    assert stage["seconds"] == round(run["ended"] - run["started"])
    rows = {row["label"]: (row["before"], row["after"]) for row in stage["figures"]}
    assert rows["Working set of all containers"] == tuple(
        run[side]["totals"]["working_set"] for side in ("before", "after")
    )
    assert rows["Response time, 95th percentile"] == tuple(
        run["latency"][side]["p95_ms"] for side in ("before", "after")
    )


def test_a_run_that_is_still_at_work_is_not_reported(data):
    data["runs"].append({**data["runs"][-1], "id": "now", "outcome": None})
    assert "now" not in [stage["id"] for stage in report_model.build(data)["stages"]]


def test_a_run_that_failed_before_it_measured_has_no_table_and_no_bar(data):
    data["runs"] = [
        {
            "id": "a",
            "stage": "stage1_quick_wins",
            "action": "present",
            "outcome": "failed",
            "started": 0.0,
            "ended": 5.0,
        }
    ]
    model = report_model.build(data)
    assert model["stages"][0]["figures"] == []
    assert report_page.stage_bars(model) == []
    assert "failed" in texts(data)["html"]


def test_a_stage_that_was_taken_back_has_no_bar(data):
    run = data["runs"][0]
    there = {**run, "action": "present", "outcome": "passed"}
    gone = {**run, "action": "absent", "outcome": "passed"}
    bars = [
        len(report_page.stage_bars({"stages": report_model.stages(runs, "h")}))
        for runs in ([there], [there, gone], [there, gone, there], [{**there, "outcome": "undone"}])
    ]
    assert bars == [1, 0, 1, 0]


def test_the_undo_command_names_host_and_stage_and_is_safe_to_paste(data):
    data["host"] = "web 1; rm -rf ~"
    (undo,) = {entry["undo"] for entry in report_model.build(data)["changes"]}
    assert undo.endswith("--limit 'web 1; rm -rf ~' smallhost.headroom.rollback -e stage=1")


def test_settings_are_put_into_words():
    names = [
        'file ["/opt/x.yml", ["services", "api", "mem_limit"]]',
        'file ["/opt/x.yml", ["services", "api", "memswap_limit"]]',
        "live api",
        "made api c8e95d9cf847",
        "fitted api",
        "redis redis maxmemory-policy",
        "live:vm.swappiness",
        "folder:/etc/sysctl.d",
    ]
    assert report_model.settings(names) == [
        "api: mem_limit, memswap_limit, running limits",
        "redis: maxmemory-policy",
        "vm.swappiness",
    ]


def test_calls_are_left_out_until_there_are_some(data):
    assert "Provider calls" not in texts(data)["html"]
    data["cache"] = {"asked": 200, "saved": 90}
    assert report_model.build(data)["calls"] == {"asked": 200, "saved": 90, "saved_percent": 45.0}
    made = texts(data)
    assert "Provider calls" in made["html"] and "Provider calls" in made["md"]


def test_findings_are_left_out_when_not_asked_for_and_sorted_when_they_are(data):
    data["usage"].pop("findings")
    assert "Findings left" not in texts(data)["html"]
    data["findings"] = [{**finding(), "severity": name, "why": f"about {name}"} for name in ("low", "high", "medium")]
    assert [entry["severity"] for entry in report_model.build(data)["findings"]] == ["high", "medium", "low"]
    assert "about medium" in texts(data)["html"] and "about medium" in texts(data)["md"]


def test_a_host_without_anything_on_record_has_a_report_too(data):
    data["runs"] = []
    data["recorded"] = {"time": 1795344000, "history_missing": "No recorded samples in /x."}
    made = texts(data)
    for kind in ("html", "md"):
        assert "No stage has been rolled out yet." in made[kind]
        assert "No recorded samples" in made[kind]


def test_what_is_the_same_of_several_services_is_said_once(data):
    data["findings"] = [{**finding(), "subject": name, "figure": f"{name} 1 GB"} for name in ("api", "bot")]
    (said,) = report_model.build(data)["findings"]
    assert (said["subject"], said["figure"]) == (["api", "bot"], ["api 1 GB", "bot 1 GB"])
    assert "api 1 GB; bot 1 GB" in texts(data)["html"]


@pytest.mark.parametrize(
    ("carried", "low", "words"),
    [(130, False, "130 active users"), (None, False, "does not limit them yet"), (40, True, "rough guess")],
)
def test_users_that_fit(data, carried, low, words):
    service = {"most_users_seen": 21.0, "per_user": 1536 * 1024}
    data["usage"]["recommendations"] = [
        {"service": "api", "projection": service},
        {"service": "bot", "projection": None},
    ]
    data["usage"]["outlook"] = {"users_carried": carried, "projected": 9, "projected_fits": True, "low_confidence": low}
    made = texts(data)
    for kind in ("html", "md"):
        assert words in made[kind]
        assert ("at 1.5 MB for each more; at most 21 were seen" in made[kind]) == (carried is not None)


def test_users_are_not_known_until_they_are_recorded_and_not_mentioned_until_asked_for(data):
    data["usage"].update(recommendations=[], outlook={"users_carried": None})
    assert "active users are not recorded" in texts(data)["md"]
    del data["usage"]["outlook"]
    assert "Users it will carry" not in texts(data)["md"]


# How it says it


def test_the_same_data_give_the_same_bytes(data):
    assert texts(data) == texts(copy.deepcopy(data))


def test_the_json_holds_the_model(data):
    assert json.loads(texts(data)["json"]) == json.loads(json.dumps(report_model.build(data)))


def test_the_page_is_whole_and_refers_to_nothing_outside(data):
    page = texts(data)["html"]
    found = Elements(page)
    assert found.open == []
    assert not {"script", "link", "img", "iframe", "object", "image", "use"} & set(found.names)
    assert re.findall(r"""(?:src|href)\s*=|url\(|@import""", page) == []


def hostile(value: Any) -> Any:
    """The data with every text made hostile but those that choose what is shown."""
    if isinstance(value, dict):
        kept = ("stage", "action", "outcome", "owner")
        return {key: each if key in kept else hostile(each) for key, each in value.items()}
    if isinstance(value, list):
        return [hostile(each) for each in value]
    return HOSTILE if isinstance(value, str) and not value.startswith("file [") else value


def test_whatever_a_name_holds_stays_text(data):
    data["findings"] = [finding()]
    expected = set(Elements(texts(data)["html"]).names)
    made = texts(hostile(data))
    found = Elements(made["html"])
    assert set(found.names) <= expected
    assert found.open == []
    assert made["html"].count("{{ 7 * 7 }}") > 20
    outside_code = re.sub(r"(`+).*?\1", "", re.sub(r"\\.", "", made["md"]))
    assert "<" not in outside_code
    for row in outside_code.splitlines():
        if row.startswith("|"):
            assert row.count("|") in (5, 6)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("probe http://admin:hunter2@127.0.0.1/health failed", "hunter2"),
        ("redis://:hunter2@redis:6379/0 refused", "hunter2"),
        ("redis-server --requirepass hunter2 --appendonly yes", "hunter2"),
        ("OPENAI_API_KEY=hunter2 is set", "hunter2"),
        ("GET /?access_token=hunter2&x=1", "hunter2"),
        ("https://api.telegram.org/bot123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1/getMe", "AAHdqTcvCH1vGW"),
    ],
)
def test_a_credential_in_a_message_does_not_reach_the_report(data, text, secret):
    data["runs"][0]["reasons"] = [text]
    for made in texts(data).values():
        assert secret not in made


def test_a_telegram_token_is_removed_from_where_it_follows_a_word():
    token = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1"
    assert token not in report_model.redacted(f"bot{token}")


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (0, "0 MB"), (1024**2 * 1536, "1536 MB"), (1024**3 * 59, "59.0 GB"), (1024**2 * 6.25, "6.2 MB")],
)
def test_sizes(value, words):
    assert report_page.size(value) == words


@pytest.mark.parametrize(("value", "words"), [(None, "–"), (-23.6, "\u221224 %"), (0.2, "±0 %"), (3.0, "+3 %")])
def test_differences(value, words):
    assert report_page.difference(value) == words


@pytest.mark.parametrize(("value", "words"), [(0.2, "0 s"), (95, "1 min 35 s"), (3600, "1 h"), (90061, "1 d 1 h")])
def test_durations(value, words):
    assert report_page.duration(value) == words


# Plots


def test_without_pygal_the_page_has_its_tables_and_says_how_to_get_plots(data, monkeypatch):
    monkeypatch.setattr(report_charts, "HAS_PYGAL", False)
    page = texts(data)["html"]
    assert "<svg" not in page
    assert "pip install pygal" in page
    assert page.count("<table>") >= 3


def test_plots_have_words_and_neither_script_nor_style_nor_date(data):
    pytest.importorskip("pygal")
    model = report_model.build(data)
    drawn = report_page.drawings(model)
    svgs = [drawn["containers"], drawn["stages"], *drawn["curves"].values()]
    assert len(svgs) == 2 + len(model["curves"]) > 2
    for svg in svgs:
        assert re.search(r'aria-label="[^"]{20,}"', svg)
        assert 'role="img"' in svg
        assert not re.search(r"<script|<style|<!--", svg)


@pytest.mark.parametrize(("largest", "top"), [(0, 1), (1, 1), (7, 8), (128, 200), (223, 300), (801, 1000)])
def test_an_axis_ends_at_a_round_figure(largest, top):
    assert report_charts.nice_top(largest) == top
