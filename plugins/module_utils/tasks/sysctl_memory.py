# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module sysctl_memory does, whoever calls it."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import (
    UNDO_ARGUMENT_SPEC,
    Journal,
    JournalError,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.apply import (
    Transaction,
    canonical_file,
    observe,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.plan import Plan, decide
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.report import report
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.settings import (
    KernelError,
    LiveTree,
    wanted_hugepages,
    wanted_settings,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.task import Request

SCOPE = "_host"
ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **UNDO_ARGUMENT_SPEC,
    "settings": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "value": {"type": "raw", "required": True},
        },
    },
    "transparent_hugepage": {
        "type": "dict",
        "options": {
            "enabled": {"type": "str", "choices": ["always", "madvise", "never"]},
            "defrag": {"type": "str", "choices": ["always", "defer", "defer+madvise", "madvise", "never"]},
        },
    },
    "file": {"type": "path", "default": "/etc/sysctl.d/90-headroom.conf"},
    "take_over": {"type": "bool", "default": False},
    "on_missing": {"type": "str", "choices": ["fail", "skip"], "default": "fail"},
    "on_readonly": {"type": "str", "choices": ["fail", "persist"], "default": "fail"},
    "root": {"type": "path", "default": "/"},
}


def build_request(params: dict, root: str) -> Request:
    """The request of the task's parameters. Raises KernelError for settings that cannot stand."""
    absent = params["state"] == "absent"
    owner = params["undo_key"] or "sysctl_memory"
    if "\n" in owner or ":" in owner:
        raise KernelError(f"undo_key {owner!r} must be one line without a colon: it marks the block in the file.")
    return Request(
        owner=owner,
        settings=() if absent else wanted_settings(params["settings"]),
        hugepages=() if absent else wanted_hugepages(params["transparent_hugepage"]),
        file=canonical_file(root, params["file"]),
        absent=absent,
        skip_missing=params["on_missing"] == "skip",
        persist_only=params["on_readonly"] == "persist",
        take_over=params["take_over"],
    )


def run(params: dict, check_mode: bool) -> dict:
    """Plan, carry out unless in check mode, report. Raises KernelError, JournalError or OSError."""
    tree = LiveTree(params["root"])
    request = build_request(params, tree.root)
    journal = Journal(SCOPE, root=params["state_dir"])
    plan = _plan(request, tree, journal.read_only())
    if (plan.changed or plan.forget) and not check_mode:
        failure = None
        with journal.locked(wait=params["lock_timeout"]):
            plan = _plan(request, tree, journal)
            try:
                Transaction(request, plan, tree, journal).run()
            except KernelError as error:
                # Raised outside, so that the journal closes in order and leaves no empty file.
                failure = error
        if failure is not None:
            raise failure
    return report(plan, tree, check_mode)


def _plan(request: Request, tree: LiveTree, journal: Journal) -> Plan:
    return decide(request, observe(request, tree, journal))


def work(module: AnsibleModule) -> None:
    """End the task with its result or one clear message."""
    try:
        result = run(module.params, module.check_mode)
    except (KernelError, JournalError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        where = error.filename or f"the undo journal in {module.params['state_dir']}"
        module.fail_json(msg=f"{where}: {error.strerror}. Nothing was changed.")
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)
