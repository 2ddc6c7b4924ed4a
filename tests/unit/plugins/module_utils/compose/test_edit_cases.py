# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The editor on compose files as other projects publish them.

They are no part of the repository: $HEADROOM_CASES, or shared/cases/compose beside the checkout, may hold them.
"""

from __future__ import annotations

import copy
import os
import pathlib

import pytest
import yaml
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import edit
from ansible_collections.smallhost.headroom.tests.unit.plugins.module_utils.compose import edit_oracle as oracle

_BESIDE = pathlib.Path(__file__).absolute().parents[5].parent / "shared" / "cases" / "compose"
FOLDER = pathlib.Path(os.environ.get("HEADROOM_CASES", _BESIDE))
FILES = sorted(path for path in FOLDER.glob("*") if path.is_file()) if FOLDER.is_dir() else []
REFUSED = ("einverne__dockerfile__adguardhome", "goharbor__harbor__make")
LIMIT = "123M"
BYTES = str(123 * 1024 * 1024)

pytestmark = pytest.mark.skipif(not FILES, reason=f"no compose files in {FOLDER}")


def limit_path(document, service):
    """Return the path of the limit in the style that the service uses: Compose rejects a mixture."""
    limits = document.get(("services", service, "deploy", "resources"))
    own = ("mem_limit",) if not limits else ("deploy", "resources", "limits", "memory")
    return ("services", service, *own)


def expected_value(document, path):
    old = document.get(path)
    return LIMIT if not isinstance(old, str) or "$" not in old else None


def with_value(data, path, value):
    data = copy.deepcopy(data)
    parent = data
    for key in path[:-1]:
        if parent.get(key) is None:
            parent[key] = {}
        parent = parent[key]
    parent[path[-1]] = value
    return data


def loaded(text):
    return yaml.load(text, Loader=oracle.AnyTag)


@pytest.fixture(name="case", params=FILES, ids=lambda path: path.name)
def fixture_case(request):
    data = request.param.read_bytes()
    try:
        document = edit.Document(data, request.param.name)
    except edit.EditError as error:
        assert error.line is not None, "a refusal names the line"
        assert str(error).startswith(f"{request.param.name}:{error.line}: ")
        pytest.skip(f"refused: {error}")
    services = document.get(("services",)) or {}
    return request.param, data, document, list(services)


def test_the_broken_files_are_refused():
    for path in FILES:
        if path.name.startswith(REFUSED):
            with pytest.raises(edit.EditError):
                edit.Document(path.read_bytes(), path.name)


def test_one_limit_at_a_time(case):
    path, data, document, services = case
    before = loaded(data)
    for service in services:
        target = limit_path(document, service)
        was = edit.remember(data, target, path.name)
        after = edit.edit(data, [edit.Set(target, LIMIT)], path.name)
        value = edit.Document(after, path.name).get(target)
        assert value == (expected_value(document, target) or value)
        assert LIMIT in value
        assert loaded(after) == with_value(before, target, value)
        gone, _come = oracle.touched_lines(data, after)
        allowed = {document.tree.line(document.tree.root.start)} if not document.own(("services", service)) else set()
        allowed |= lines_of_own_text(document, service, target)
        assert set(gone) <= allowed
        assert len(gone) <= 1
        assert edit.restore(after, target, was, path.name) == data


def lines_of_own_text(document, service, target):
    """Return the lines that may change: that of the service's key, and that of the value."""
    pair = document.tree.view(document.tree.view(document.tree.root)["services"][0].value.real).get(service)[0]
    lines = {document.tree.line(pair.start), document.tree.line(pair.end)}
    for length in range(2, len(target) + 1):
        line = document.line(target[:length])
        if line is not None and document.own(target[:length]):
            lines.add(line)
    return lines


@pytest.mark.parametrize("order", [1, -1], ids=["first set first", "last set first"])
def test_all_limits_at_once(case, order):
    path, data, document, services = case
    after = data
    undo = []
    expected = loaded(data)
    for service in services:
        target = limit_path(document, service)
        undo.append((target, edit.remember(after, target, path.name)))
        after = edit.edit(after, [edit.Set(target, LIMIT)], path.name)
        expected = with_value(expected, target, edit.Document(after, path.name).get(target))
    assert loaded(after) == expected
    assert after == edit.edit(data, [edit.Set(limit_path(document, s), LIMIT) for s in services], path.name)
    assert edit.edit(after, [edit.Set(limit_path(document, s), LIMIT) for s in services], path.name) == after
    for target, was in undo[::order]:
        after = edit.restore(after, target, was, path.name)
    assert after == data


@pytest.mark.parametrize("options", [(), ("--no-interpolate",)], ids=["interpolated", "as written"])
@pytest.mark.skipif(not oracle.has_compose(), reason="no docker compose here")
def test_compose_sees_the_limits_and_nothing_else(case, options, tmp_path):
    path, data, document, services = case
    folder = tmp_path / "a" / "b" / "deploy"
    folder.mkdir(parents=True)
    before = oracle.compose_model(data, folder, *options)
    if isinstance(before, str):
        pytest.skip(f"Compose cannot load it: {before}")
    if any("extends" in (document.get(("services", s)) or {}) for s in services):
        pytest.skip("its services extend each other: for Compose a limit of one is one of the other")
    targets = [limit_path(document, service) for service in services]
    after = oracle.compose_model(edit.edit(data, [edit.Set(t, LIMIT) for t in targets], path.name), folder, *options)
    assert isinstance(after, dict), after
    for target in targets:
        oracle.take(before, target)
        value = oracle.take(after, target)
        assert value == BYTES or (options and LIMIT in value)
    assert after == before
