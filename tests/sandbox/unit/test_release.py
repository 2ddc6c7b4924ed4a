# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Release: README tables from argument specifications, the choice of Pythons, what of the importer's log counts."""

from __future__ import annotations

import yaml

from release import matrix, package, readmes
from sandbox.environment import ROOT


def test_every_role_has_the_readme_that_its_arguments_say():
    stale = [str(file.relative_to(ROOT)) for file in readmes.outdated(ROOT / "roles")]
    assert stale == [], "run: python3 -m release readmes"


def test_semantic_markup_becomes_markdown():
    text = r"Set O(limit=1\) or V(auto|none), see M(smallhost.headroom.compose_limits) and C(docker (20\))."
    assert readmes.markdown(r"O(a) V(b) C(c d) M(x.y.z)") == "`a` `b` `c d` `x.y.z`"
    assert "auto\\|none" in readmes.markdown(text.replace(r"\)", ""))
    assert readmes.markdown(r"C(f\(x\))") == "`f(x)`"


def test_options_of_an_option_follow_it():
    options = {
        "outer": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "description": ["One.", "Two."],
            "options": {"inner": {"type": "str", "required": True, "choices": ["a", "b"], "description": "Three."}},
        }
    }
    assert list(readmes.rows(options)) == [
        ("`outer`", "list of dict", "`[]`", "One. Two."),
        ("`outer.inner`", "str", "**required**", "Three. One of `a`, `b`."),
    ]


def test_what_is_written_by_hand_above_the_mark_is_kept(tmp_path):
    role = tmp_path / "roles/example"
    (role / "meta").mkdir(parents=True)
    (role / "meta/argument_specs.yml").write_text("argument_specs: {main: {short_description: Does it}}\n")
    (written,) = readmes.write(tmp_path / "roles")
    assert written.read_text() == f"# example\n\n{readmes.MARK}\n\nDoes it.\n\n"
    written.write_text(f"# example\n\nBy hand.\n\n{readmes.MARK}\n\nold\n")
    assert readmes.outdated(tmp_path / "roles") == [written]
    readmes.write(tmp_path / "roles")
    assert "By hand." in written.read_text() and "old" not in written.read_text()
    assert readmes.write(tmp_path / "roles") == []


def test_each_ansible_core_gets_a_python_that_none_had_before_it():
    here = {"3.10": "/a", "3.11": "/b", "3.12": "/c"}
    chosen = matrix.choose({"1": ("3.10", "3.11"), "2": ("3.11", "3.12"), "3": ("3.11",), "4": ("3.14",)}, here.get)
    assert chosen == {"1": ("3.10", "/a"), "2": ("3.11", "/b"), "3": ("3.11", "/b"), "4": None}


def test_the_importers_complaints_are_kept_and_the_linters_news_are_not():
    log = "\n".join(
        [
            "Loading role audit",
            "WARNING: A new release of ansible-lint is available: 99.1",
            "WARNING: roles/x/tasks/main.yml:3: no-changed-when: Commands should not change things.",
            "ERROR: The import failed for the following reason: No role readme found.",
        ]
    )
    assert [line.split(":")[0] for line in package.complaints(log)] == ["WARNING", "ERROR"]


def test_every_playbook_knows_how_many_hosts_at_a_time_the_inventory_wants():
    """A play's keywords see variables of hosts only once an earlier play has run."""
    changing = [path for path in (ROOT / "playbooks").glob("*.yml") if "headroom_serial" in path.read_text()]
    assert len(changing) >= 6
    for path in changing:
        first, play = yaml.safe_load(path.read_text())
        assert set(first) == {"name", "hosts", "gather_facts"}, path.name
        assert "extract" in play["serial"], path.name
