# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The editor on one thing at a time. The texts before and after stand in edit_recorded.py."""

from __future__ import annotations

import json

import pytest
import yaml
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import edit
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.edit import Delete, Document, EditError, Set
from ansible_collections.smallhost.headroom.tests.unit.plugins.module_utils.compose import edit_oracle as oracle
from ansible_collections.smallhost.headroom.tests.unit.plugins.module_utils.compose.edit_recorded import (
    CASES,
    LIMIT,
    NO_LIMIT,
    bot,
)

# Strings that a reader could take for another type, or for YAML.
LIKE_OTHERS = [
    *(
        "yes",
        "no",
        "on",
        "Off",
        "y",
        "true",
        "True",
        "null",
        "~",
        "",
        "25:25",
        "0x1f",
        "0o17",
        "010",
        "08",
        "1e3",
        ".5",
    ),
    *("1_0", "+1", "-.inf", ".nan", "2026-01-31", "2026-1-1 10:11:12", "<<", "=", "?", "-", ":", "---", "...", "- a"),
    *("a: b", "a:", "a #b", "#a", "*a", "&a", "!a", "%a", "@a", "`a", "{a", "[a", "a]", "a,b", "|", ">", "'a", '"a'),
    *(
        "a\tb",
        "a\nb",
        "a\n",
        " a",
        "a ",
        "it's",
        'a"b\\c',
        "é",
        "🐳",
        "\u2028",
        "\x85",
        "\ufeff",
        "\x07",
        "\x00",
        "a" * 2000,
    ),
]

REFUSED = [
    ("key twice", "services:\n  bot:\n    image: x\n  bot:\n    image: y\n", LIMIT, 4, "first on line 2"),
    ("merge key twice", "services:\n  bot:\n    <<: {a: b}\n    <<: {c: d}\n", LIMIT, 4, "'<<' is there twice"),
    ("key twice in quotes", "services:\n  bot:\n    image: x\n    'image': y\n", LIMIT, 4, "'image' is there twice"),
    ("documents", "services:\n  bot:\n    image: x\n---\nservices: {}\n", LIMIT, 4, "several documents"),
    ("jinja blocks", "services:\n{% for s in list %}\n  {{ s }}:\n    image: x\n", LIMIT, 2, "looks like a template"),
    ("jinja value", "services:\n  bot:\n    image: {{ image }}\n", LIMIT, 3, "looks like a template"),
    ("go template", "services:\n  bot:\n    image: {{.Values.image}}\n", LIMIT, 3, "looks like a template"),
    ("no yaml", "services:\n  bot:\n   image: x\n  mem: y: z\n", LIMIT, 4, "mapping values are not allowed here"),
    ("tabs as indentation", "services:\n\tbot:\n\t\timage: x\n", LIMIT, 2, "cannot start any token"),
    ("unquoted at sign", "services:\n  bot:\n    command: @x\n", LIMIT, 3, "cannot start any token"),
    ("unquoted backtick", "services:\n  bot:\n    command: `x`\n", LIMIT, 3, "cannot start any token"),
    ("alias of nothing", "services:\n  bot: *nope\n", LIMIT, 2, "no anchor before it"),
    ("value in itself", "services:\n  bot: &b\n    x: *b\n", LIMIT, 3, "contains itself"),
    ("merge of a list of strings", "x-a: &a [b]\nservices:\n  bot:\n    <<: *a\n", LIMIT, 4, "a merge key takes"),
    ("complex key", "services:\n  ? [a, b]\n  : image: x\n", LIMIT, 2, "a key is a mapping or a list"),
    ("service is a word", "services:\n  bot: x\n", LIMIT, 2, "services.bot is a single value"),
    ("below !reset", "services:\n  bot: !reset null\n", LIMIT, 2, "below !reset"),
    ("deep below !reset", "services:\n  bot: !reset {deploy: {resources: {}}}\n", LIMIT, 2, "below !reset"),
    ("a list", "- a\n- b\n", LIMIT, 1, "there is a list of 2 entries"),
    ("a word", "hello\n", LIMIT, 1, "the document is a single value"),
    ("required variable", "services:\n  bot:\n    mem_limit: ${MEM:?}\n", LIMIT, 3, "takes no default"),
    ("alternative of a variable", "services:\n  bot:\n    mem_limit: ${MEM:+1g}\n", LIMIT, 3, "takes no default"),
    ("two variables", "services:\n  bot:\n    mem_limit: ${MEM}${UNIT}\n", LIMIT, 3, "made of 2 variables"),
    ("unit beside a variable", "services:\n  bot:\n    mem_limit: ${MEM:-512}m\n", LIMIT, 3, "not part of '120M'"),
    (
        "delete what is merged",
        "x-a: &a\n  mem_limit: 1g\nservices:\n  bot:\n    <<: *a\n",
        NO_LIMIT,
        2,
        "alias or a merge",
    ),
    ("delete below an alias", "x-a: &a\n  mem_limit: 1g\nservices:\n  bot: *a\n", NO_LIMIT, 2, "alias or a merge"),
    (
        "delete an override",
        "x-a: &a {cpus: 1}\nservices:\n  bot:\n    <<: *a\n    cpus: 2\n",
        Delete(bot("cpus")),
        5,
        "would count",
    ),
    ("index far out", "services:\n  bot:\n    ports: [a]\n", Set(bot("ports", 2), "x"), 3, "a list of 1 entries"),
    ("key of a list", "services:\n  bot:\n    ports: [a]\n", Set(bot("ports", "x"), "x"), 3, "a list of 1 entries"),
    ("tag that does not fit", "services:\n  bot:\n    cpus: !!int abc\n", LIMIT, 3, "does not fit its tag"),
]


def names(cases):
    return [case[0] for case in cases]


RECORDED = pytest.mark.parametrize(("_name", "before", "changes", "after"), CASES, ids=names(CASES))
SHARED = [case for case in CASES if any(word in case[0] for word in ("alias", "merge", "anchor", "shared", "reset"))]


@RECORDED
class TestRecorded:
    def test_text(self, _name, before, changes, after):
        assert edit.edit(before.encode(), changes, "compose.yaml").decode() == after

    def test_again_changes_nothing(self, _name, before, changes, after):
        if _name == "delete item":
            pytest.skip("the index of the deleted entry is that of the next one now")
        assert edit.edit(after.encode(), changes, "compose.yaml").decode() == after

    def test_undo_gives_every_byte_back(self, _name, before, changes, after):
        data, undo = before.encode(), []
        for change in changes:
            was = json.loads(json.dumps(edit.remember(data, change.path, "compose.yaml")))
            undo.append((change.path, was))
            data = edit.edit(data, [change], "compose.yaml")
        for path, was in reversed(undo):
            data = edit.restore(data, path, was, "compose.yaml")
        assert data.decode() == before


@pytest.mark.parametrize(("_name", "text", "change", "line", "reason"), REFUSED, ids=names(REFUSED))
def test_refused_with_file_line_and_reason(_name, text, change, line, reason):
    with pytest.raises(EditError) as caught:
        edit.edit(text.encode(), [change], "deploy/compose.yaml")
    assert (caught.value.name, caught.value.line) == ("deploy/compose.yaml", line)
    assert str(caught.value).startswith(f"deploy/compose.yaml:{line}: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize("data", ["services: {bot: {}}\n".encode("utf-16"), b"services:\n  bot: \xff\n"])
def test_other_encodings_are_refused(data):
    with pytest.raises(EditError, match="not UTF-8"):
        Document(data, "compose.yaml")


def test_alias_bombs_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    with pytest.raises(EditError, match="expand to more data"):
        Document("\n".join(lines).encode(), "compose.yaml")


def test_deep_nesting_is_refused():
    with pytest.raises(EditError, match="nested too deeply"):
        Document(b"a: " + b"[" * 5000 + b"]" * 5000, "compose.yaml")


@pytest.mark.parametrize("style", ["", "'", '"'], ids=["plain", "single", "double"])
@pytest.mark.parametrize("flow", [False, True], ids=["block", "flow"])
@pytest.mark.parametrize("text", LIKE_OTHERS, ids=[repr(text)[:20] for text in LIKE_OTHERS])
def test_a_string_stays_that_string(text, flow, style):
    before = (
        f"services: {{bot: {{image: {style}x{style}}}}}\n"
        if flow
        else f"services:\n  bot:\n    image: {style}x{style}\n"
    )
    key = text[:100] or "k"
    changes = [Set(bot("image"), text), Set(bot("command"), ["a", text]), Set(bot("labels", key), text)]
    after = edit.edit(before.encode(), changes, "compose.yaml")
    expected = {"image": text, "command": ["a", text], "labels": {key: text}}
    assert Document(after, "compose.yaml").get(bot()) == expected
    assert yaml.load(after, Loader=yaml.SafeLoader)["services"]["bot"] == expected


@pytest.mark.parametrize(
    ("source", "value"),
    [
        *(
            ("yes", "yes"),
            ("off", "off"),
            ("25:25", "25:25"),
            ("true", True),
            ("FALSE", False),
            ("~", None),
            ("", None),
        ),
        *(
            ("0440", 288),
            ("0o17", 15),
            ("08", 8.0),
            ("0x1F", 31),
            ("-0b11", -3),
            ("1_000", 1000),
            ("+5", 5),
            ("_1", "_1"),
        ),
        *(
            ("1.10", 1.1),
            (".5", 0.5),
            ("1e3", 1000.0),
            ("1_0.5", 10.5),
            ("99999999999999999999", 1e20),
            ("-.inf", -1e999),
        ),
        *(("2026-01-31", "2026-01-31"), ("!!str 5", "5"), ("!!float 5", 5.0), ('!!int "5"', 5), ("!own x", "x")),
    ],
)
def test_scalars_are_read_as_compose_reads_them(source, value):
    """Checked against ``docker compose config`` 2.26 (go-yaml v3)."""
    found = Document(f"services:\n  bot:\n    x-a: {source}\n".encode(), "compose.yaml").get(bot("x-a"))
    assert found == value
    assert type(found) is type(value) or isinstance(value, str)


def test_document_tells_values_owners_and_lines():
    text = "x-a: &a\n  mem_limit: 1g\nservices:\n  bot:\n    <<: *a\n    image: x\n  api: *a\n"
    text += "  db:\n    ports: !reset []\n"
    document = Document(text.encode(), "compose.yaml")
    assert document.data["services"] == {"bot": {"mem_limit": "1g", "image": "x"}, "api": {"mem_limit": "1g"}, "db": {}}
    assert document.get(bot("mem_limit")) == "1g"
    assert document.get(bot("cpus"), "none") == "none"
    assert document.own(bot("image"))
    assert not document.own(bot("mem_limit"))
    assert document.own(("services", "api"))
    assert not document.own(("services", "api", "mem_limit"))
    assert [document.line(path) for path in (bot("image"), bot("mem_limit"), bot("cpus"))] == [6, 2, None]


def test_nothing_to_read():
    for data in (b"", b"# nothing\n", b"---\n"):
        assert Document(data, "compose.yaml").data is None


def test_undo_beside_a_stranger_puts_only_our_value_back():
    before = "services:\n  bot:\n    image: x\n    mem_limit: '1g' # ours\n"
    was = edit.remember(before.encode(), LIMIT.path, "compose.yaml")
    after = edit.edit(before.encode(), [LIMIT], "compose.yaml").decode()
    stranger = after.replace("image: x", "image: x:2 # updated") + "    restart: always\n"
    undone = edit.restore(stranger.encode(), LIMIT.path, was, "compose.yaml").decode()
    assert undone == before.replace("image: x", "image: x:2 # updated") + "    restart: always\n"


def test_undo_beside_a_stranger_takes_made_parents_away():
    before = b"services:\n  bot:\n    image: x\n  api:\n    image: y\n"
    memory = Set(bot("deploy", "resources", "limits", "memory"), "1g")
    cpus = Set(bot("deploy", "resources", "limits", "cpus"), "0.5")
    undo = [(change.path, edit.remember(before, change.path, "compose.yaml")) for change in (memory, cpus)]
    after = edit.edit(before, [memory, cpus], "compose.yaml").replace(b"image: x", b"image: z")
    for path, was in undo:
        after = edit.restore(after, path, was, "compose.yaml")
    assert after == before.replace(b"image: x", b"image: z")


def test_undo_of_an_override_beside_a_stranger_inherits_again():
    before = b"x-a: &a\n  mem_limit: 1g\nservices:\n  bot:\n    <<: *a\n    image: x\n"
    was = edit.remember(before, LIMIT.path, "compose.yaml")
    after = edit.edit(before, [LIMIT], "compose.yaml").replace(b"image: x", b"image: z")
    assert edit.restore(after, LIMIT.path, was, "compose.yaml") == before.replace(b"image: x", b"image: z")


def test_undo_of_an_override_beside_a_strangers_comment_inherits_again():
    before = b"x-a: &a\n  mem_limit: 1g\nservices:\n  bot:\n    <<: *a\n    image: x\n"
    was = edit.remember(before, LIMIT.path, "compose.yaml")
    after = edit.edit(before, [LIMIT], "compose.yaml").replace(b"image: x", b"image: x # new")
    assert edit.restore(after, LIMIT.path, was, "compose.yaml") == before.replace(b"image: x", b"image: x # new")


def test_undo_never_loses_a_reset():
    before = b"services:\n  bot:\n    mem_limit: !reset null\n    image: x\n"
    was = edit.remember(before, LIMIT.path, "compose.yaml")
    after = edit.edit(before, [LIMIT], "compose.yaml")
    assert edit.restore(after, LIMIT.path, was, "compose.yaml") == before
    stranger = after.replace(b"image: x", b"image: z")
    assert edit.restore(stranger, LIMIT.path, was, "compose.yaml") == before.replace(b"image: x", b"image: z")
    with pytest.raises(EditError, match="cannot be put back"):
        edit.restore(after.replace(b"image: x", b"image: x # a comment"), LIMIT.path, was, "compose.yaml")


def test_one_owner_of_two_takes_back_only_its_list_entry():
    before = b"services:\n  bot:\n    environment:\n      - A=1\n"
    first, second = Set(bot("environment", 1), "B=2"), Set(bot("environment", 2), "C=3")
    was = edit.remember(before, first.path, "compose.yaml")
    after = edit.edit(before, [first, second], "compose.yaml")
    assert edit.restore(after, first.path, was, "compose.yaml") == before + b"      - C=3\n"


@pytest.mark.skipif(not oracle.has_compose(), reason="no docker compose here")
@pytest.mark.parametrize(("_name", "before", "changes", "after"), SHARED, ids=names(SHARED))
def test_compose_agrees_where_values_are_shared(_name, before, changes, after, tmp_path):
    """For Compose, too, the other services are what they were."""
    models = []
    for text in (before, after):
        folder = tmp_path / str(len(models)) / "b" / "deploy"
        folder.mkdir(parents=True)
        models.append(oracle.compose_model(text.encode(), folder))
    if isinstance(models[0], str):
        pytest.skip(f"Compose cannot load it: {models[0]}")
    assert isinstance(models[1], dict), models[1]
    for change in changes:
        for model in models:
            model["services"].pop(change.path[1], None)
    assert models[0]["services"] == models[1]["services"]
