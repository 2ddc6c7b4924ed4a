# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run over kernel settings tells the user: rows, diff, warnings and one sentence."""

from __future__ import annotations

from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.drop_ins import FilePlan
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.effects import (
    Facts,
    alarming,
    effect,
    read_facts,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.plan import Plan
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.settings import (
    PROC_SYS,
    THP_ENTRIES,
    LiveTree,
    Wanted,
    display_key,
    same_value,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.sysctl_d import parse, read_config

_CONTEXT = ("vm/dirty_bytes", "vm/overcommit_memory", "vm/overcommit_ratio", "vm/overcommit_kbytes")


def entry_name(entry: str) -> str:
    """How an entry is called in messages."""
    if entry.startswith(PROC_SYS):
        return display_key(entry[len(PROC_SYS) :])
    return f"transparent_hugepage.{entry.rpartition('/')[2]}"


def _facts(plan: Plan, tree: LiveTree) -> Facts:
    """The machine with the wanted values in force, as they are once the run (or the checked run) is done."""
    entries = [*(PROC_SYS + key for key in _CONTEXT), *THP_ENTRIES.values()]
    live = {entry: value for entry in entries for value in [tree.read(entry)] if value is not None}
    return read_facts(tree.root, {**live, **{item.entry: item.value for item in plan.wanted}})


def _row(item: Wanted, file: FilePlan, plan: Plan, facts: Facts, live: str | None) -> dict[str, Any]:
    before = plan.live.get(item.entry)
    changes = before is not None and not same_value(before, item.value) and item.entry not in plan.readonly
    text = effect(item.entry, item.value, facts)
    if item.entry in plan.readonly:
        stays = f"only the file: the live value stays {before}, it cannot be written here"
        text = "; ".join(filter(None, [stays, text]))
    line = file.overridden.get(item.entry)
    return {
        "name": item.name,
        "before": before,
        "after": item.value,
        "live": live,
        "persisted": file.at_boot,
        "overridden_by": line.where if line else None,
        "effect": text,
        "diff": {"before": before, "after": item.value} if changes else {},
    }


def _rows(plan: Plan, tree: LiveTree, huge: bool) -> list[dict[str, Any]]:
    facts = _facts(plan, tree)
    file_of = {("/tmpfiles.d" in file.path): file for file in plan.files}
    return [
        _row(item, file_of[huge], plan, facts, tree.read(item.entry) if tree.holds(item.entry) else None)
        for item in plan.wanted
        if item.entry.startswith(PROC_SYS) != huge
    ]


def _warnings(plan: Plan, rows: list[dict[str, Any]], tree: LiveTree) -> list[str]:
    found = []
    for file in plan.files:
        if not file.at_boot:
            found.append(f"{file.path} is not read at boot: wrong folder, or another file of its name hides it.")
        for entry, line in file.overridden.items():
            sets = "leaves it alone" if line.value is None else f"sets {entry_name(line.entry)} = {line.value}"
            found.append(
                f"{entry_name(entry)}: at boot {line.where} {sets} and wins over {file.path}. Take that line out, or "
                "set take_over: true."
            )
    found += [f"{row['name']} = {row['after']}: {row['effect']}" for row in rows if alarming(row["effect"])]
    found += [f"{entry_name(entry)} is gone from this kernel and was not put back." for entry in plan.lost]
    if plan.readonly:
        names = ", ".join(map(entry_name, plan.readonly))
        found.append(f"Only files were written: {names} cannot be written here. They take effect at the next boot.")
    return found + _unread_sysctl_conf(plan, tree)


def _unread_sysctl_conf(plan: Plan, tree: LiveTree) -> list[str]:
    """Lines of /etc/sysctl.conf that do nothing at boot but count for whoever runs `sysctl --system` by hand."""
    file = read_config(tree.root, "/etc/sysctl.conf")
    link = read_config(tree.root, "/etc/sysctl.d/99-sysctl.conf")
    if file is None or (link is not None and link.data == file.data):
        return []
    lines = {line.entry: line for line in parse(file)}
    return [
        f"{lines[item.entry].where} sets {item.name} = {lines[item.entry].value}. It is not read at boot here, but "
        "`sysctl --system` run by hand reads it last."
        for item in plan.wanted
        if item.entry in lines and not same_value(lines[item.entry].value, item.value)
    ]


def _text(data: bytes | None) -> str:
    return (data or b"").decode("utf-8", "replace")


def _change(header: str, before: str, after: str) -> dict[str, str]:
    return {"before_header": header, "after_header": header, "before": before, "after": after}


def _diff(plan: Plan) -> list[dict[str, str]]:
    diff = []
    if plan.writes:
        before = [f"{entry_name(entry)} = {plan.live.get(entry)}\n" for entry, _value in plan.writes]
        after = [f"{entry_name(entry)} = {' '.join(value.split())}\n" for entry, value in plan.writes]
        diff.append(_change("kernel", "".join(before), "".join(after)))
    files = [file for file in [*plan.files, *plan.give_back] if file.changed]
    return diff + [_change(file.path, _text(file.before), _text(file.data)) for file in files]


def _message(plan: Plan, check_mode: bool) -> str:
    files = sum(file.changed for file in plan.files) + len(plan.give_back)
    if not plan.changed:
        return "Nothing to change."
    verb = "would change" if check_mode else "changed"
    return f"{len(plan.writes)} live value(s) and {files} file(s) {verb}."


def report(plan: Plan, tree: LiveTree, check_mode: bool) -> dict[str, Any]:
    """The module's result. `warnings` is for the caller to hand out one by one."""
    settings, hugepages = _rows(plan, tree, huge=False), _rows(plan, tree, huge=True)
    return {
        "changed": plan.changed,
        "settings": settings,
        "transparent_hugepage": hugepages,
        "restored": [
            {"name": entry_name(entry), "before": plan.live.get(entry), "after": " ".join(value.split())}
            for entry, value in plan.restore.items()
        ],
        "missing": list(plan.missing),
        "files": [file.path for file in plan.files],
        "live_written": not plan.readonly,
        "diff": _diff(plan),
        "msg": _message(plan, check_mode),
        "warnings": _warnings(plan, [*settings, *hugepages], tree),
    }
