# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The editor on generated compose files: any style, anchors, merges, comments, line breaks."""

from __future__ import annotations

import copy
import itertools
import re

import yaml
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import edit
from ansible_collections.smallhost.headroom.tests.unit.plugins.module_utils.compose import edit_oracle as oracle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAMES = ["bot", "api", "worker-image", "redis", "db.main"]
COMMENTS = ["", " # note", "   # mem_limit: 1g", " # тест: [a, {b"]
LONE_COMMENTS = ["# mem_limit: 2g", "# deploy:", "#", "# - x: {y", "# 'open"]
SCALARS = [
    "x",
    "'1g'",
    '"a: b"',
    "${MEM:-1g}",
    "25:25",
    "0.5",
    "it's",
    "~",
    "http://h:80/?q=1",
    "&own v",
    "!!str 5",
    "-1",
]
BLOCKS = [
    ["command: >-", "+run it", "+--workers 2", "", "+more"],
    ["command: |", "+set -e", "+  # text, no comment", "+run"],
    ["command: |+", "+run", "", ""],
    ["command: run it", "+--workers 2"],
    ["environment:", "+A: 1 # one", "+B:", "+# C: 3"],
    ["environment:", "- A=1", "# - B=2", "- C=3"],
    ["ports:", "+- '80:80'", "+- 81:81 # two"],
    ["deploy:", "+resources:", "++limits:", "+++cpus: '0.5'"],
    ["deploy:", "+replicas: 2"],
    ["deploy: {resources: {limits: {memory: 1g, pids: 9}}} # flow"],
    ["labels: {a: 'b', \"c\": d,", "+ e: [f, g]} # end"],
    ["healthcheck:", "+test: [CMD, 'x', \"y\"]", "+", "+interval: 1s"],
    ["mem_limit: 2g"],
    ["mem_limit: '${MEM:-1g}'"],
    ["mem_limit: # none yet"],
]
TARGETS = [
    (("mem_limit",), "120M"),
    (("deploy", "resources", "limits", "memory"), "120M"),
    (("cpus",), 0.5),
    (("environment",), {"A": "1", "D": "x"}),
    (("command",), ["run", "--fast"]),
    (("labels", "new"), 'it\'s: "quoted"'),
]


@st.composite
def bodies(draw):
    """Return the entries of a service as lines; leading pluses are levels of indentation."""
    blocks = draw(st.lists(st.sampled_from(BLOCKS), max_size=3, unique_by=lambda block: block[0].split(":")[0]))
    scalars = draw(st.lists(st.sampled_from(SCALARS), min_size=0 if blocks else 1, max_size=3))
    entries = [[f"x-{index}: {value}{draw(st.sampled_from(COMMENTS))}"] for index, value in enumerate(scalars)] + blocks
    entries = draw(st.permutations(entries))
    lines = []
    for entry in entries:
        if draw(st.booleans()):
            lines.append(draw(st.sampled_from(LONE_COMMENTS)))
        lines += entry
    return lines


@st.composite
def services(draw, name, anchors):
    """Return the lines of a service, and the anchors that later services can use."""
    comment = draw(st.sampled_from(COMMENTS))
    kinds = ["block", "block", "block", "anchored", "null", "empty", "flow", "flow anchored"]
    kind = draw(st.sampled_from(kinds + (["alias", "merge", "merge", "merge list", "flow merge"] if anchors else [])))
    body = draw(bodies())
    pick = st.sampled_from(anchors) if anchors else st.nothing()
    if kind in ("null", "empty", "alias"):
        value = {"null": "", "empty": " {}", "alias": " *" + draw(pick) if kind == "alias" else ""}[kind]
        return [f"{name}:{value}{comment}"], []
    if kind.startswith("flow"):
        anchor = f"&f{name[0]} " if kind == "flow anchored" else ""
        merge = f"<<: *{draw(pick)}, " if kind == "flow merge" else ""
        return [f"{name}: {anchor}{{{merge}image: x, labels: {{a: b}}}}{comment}"], [f"f{name[0]}"] if anchor else []
    if kind == "merge":
        body.insert(draw(st.sampled_from([0, len(body)])) if not body[-1:] or body[-1] else 0, f"<<: *{draw(pick)}")
    if kind == "merge list":
        body.insert(0, f"<<: [*{draw(pick)}, *{draw(pick)}]")
    anchor = f" &a{name[0]}" if kind == "anchored" else ""
    return [f"{name}:{anchor}{comment}", *["+" + line if line else line for line in body]], anchor.split("&")[1:]


@st.composite
def files(draw):
    """Return the text of a compose file."""
    step = draw(st.sampled_from([2, 4, 3]))
    lines, anchors = [], []
    if draw(st.booleans()):
        lines += ["x-app: &app", *["+" + line if line else line for line in draw(bodies())]]
        anchors.append("app")
    lines.append("services:" + draw(st.sampled_from(COMMENTS)))
    for name in draw(st.permutations(NAMES))[: draw(st.integers(1, 4))]:
        service, new = draw(services(name, anchors))
        anchors += new
        lines += ["+" + line if line else line for line in service]
        if draw(st.booleans()):
            lines += draw(st.sampled_from([["# between"], ["", "+# the next"], ["+++# deep"]])) if service[-1] else []
    if draw(st.booleans()):
        lines += ["volumes:", "+data:"]
    text = "\n".join(" " * (step * (len(line) - len(line.lstrip("+")))) + line.lstrip("+") for line in lines)
    number = itertools.count()
    text = re.sub("&own", lambda _match: f"&own{next(number)}", text)  # libyaml's loader wants every anchor once
    text += draw(st.sampled_from(["\n", "\n", "", "\n\n# end\n"]))
    text = text.replace("\n", draw(st.sampled_from(["\n", "\n", "\r\n"])))
    return (b"\xef\xbb\xbf" if draw(st.integers(0, 4)) == 4 else b"") + text.encode()


def loaded(data):
    return yaml.load(data.decode("utf-8-sig"), Loader=oracle.AnyTag)


def with_value(data, path, value):
    data = copy.deepcopy(data)
    parent = data
    for key in path[:-1]:
        if parent.get(key) is None:
            parent[key] = {}
        parent = parent[key]
    parent[path[-1]] = value
    return data


def unshared(data):
    """Return data in which no two places are one object, as a change in one must not show in the other."""
    if isinstance(data, dict):
        return {key: unshared(value) for key, value in data.items()}
    return [unshared(value) for value in data] if isinstance(data, list) else data


def is_below_text(data, path):
    """Tell whether a path leads through a text or a list, where nothing can be set."""
    for key in path[:-1]:
        if data is not None and not isinstance(data, dict):
            return True
        data = (data or {}).get(key)
    return data is not None and not isinstance(data, dict)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=files(), choice=st.data())
def test_only_what_was_asked_changes_and_undo_is_exact(data, choice):
    before = unshared(loaded(data))
    text, undo = data, []
    pick = st.tuples(st.sampled_from(sorted(before["services"])), st.sampled_from(TARGETS))
    picks = choice.draw(st.lists(pick, min_size=1, max_size=4))
    for service, (keys, value) in picks:
        path = ("services", service, *keys)
        expected = unshared(loaded(text))
        if is_below_text(expected, path):
            continue
        was = edit.remember(text, path, "compose.yaml")
        after = edit.edit(text, [edit.Set(path, value)], "compose.yaml")
        found = edit.Document(after, "compose.yaml").get(path)
        assert found == value or str(value) in str(found)
        assert unshared(loaded(after)) == with_value(expected, path, found)
        gone, _come = oracle.touched_lines(text, after)
        assert len(gone) <= 1 or isinstance(value, (dict, list))
        assert edit.edit(after, [edit.Set(path, value)], "compose.yaml") == after
        undo.append((path, was))
        text = after
    for path, was in reversed(undo):
        text = edit.restore(text, path, was, "compose.yaml")
    assert text == data


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=files(), choice=st.data())
def test_a_deletion_takes_only_what_was_asked(data, choice):
    before = unshared(loaded(data))
    paths = [("services", name, key) for name, value in before["services"].items() if value for key in value]
    if not paths:
        return
    path = choice.draw(st.sampled_from(sorted(paths)))
    was = edit.remember(data, path, "compose.yaml")
    try:
        after = edit.edit(data, [edit.Delete(path)], "compose.yaml")
    except edit.EditError as error:
        # A comment after what goes would become text of a block scalar before it: that is refused, too.
        swallowed = re.search(rb"[|>][-+]?\n", data) and b"#" in data and "leaves all other values" in str(error)
        assert "merge key" in str(error) or swallowed
        return
    expected = copy.deepcopy(before)
    del expected["services"][path[1]][path[2]]
    assert unshared(loaded(after)) == expected
    assert edit.restore(after, path, was, "compose.yaml") == data
