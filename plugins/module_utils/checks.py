# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What modules would change, asked of many of them in one process: Python, the project and its files are read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NoReturn

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.smallhost.headroom.plugins.module_utils import project_task
from ansible_collections.smallhost.headroom.plugins.module_utils.tasks import (
    compose_added_service,
    compose_image,
    compose_limits,
    compose_service,
    compose_worker,
    docker_daemon,
    redis_maxmemory,
    rq_failed_jobs,
    swap_file,
    sysctl_memory,
    systemd_settings,
)

TASKS: dict[str, ModuleType] = {
    task.__name__.rpartition(".")[-1]: task
    for task in (
        compose_added_service,
        compose_image,
        compose_limits,
        compose_service,
        compose_worker,
        docker_daemon,
        redis_maxmemory,
        rq_failed_jobs,
        swap_file,
        sysctl_memory,
        systemd_settings,
    )
}


class Answered(Exception):
    """A task has ended with this result."""

    def __init__(self, result: Mapping[str, Any]) -> None:
        super().__init__()
        self.result = result


class Refused(Exception):
    """A task has ended with this message."""


@dataclass
class Asked:
    """What a task sees in the place of its AnsibleModule: always in check mode, and it ends with an exception."""

    _name: str
    params: Mapping[str, Any]
    no_log_values: set[str]
    warnings: list[str]
    check_mode: bool = True

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def exit_json(self, **result: Any) -> NoReturn:
        raise Answered(result)

    def fail_json(self, msg: str, **_more: Any) -> NoReturn:
        raise Refused(msg)


def ask(module: str, args: Mapping[str, Any], secrets: set[str], warnings: list[str]) -> Mapping[str, Any]:
    """What a module returns in check mode. Raises Refused with the message that it would fail with.

    What must not be shown is added to `secrets`, whatever comes of it: messages may hold it.
    """
    task = TASKS[module]
    checked = ArgumentSpecValidator(task.ARGUMENT_SPEC, **getattr(task, "CONSTRAINTS", {})).validate(dict(args))
    secrets.update(checked._no_log_values)  # as AnsibleModule does
    if checked.error_messages:
        raise Refused("; ".join(checked.error_messages))
    try:
        task.work(Asked(module, checked.validated_parameters, secrets, warnings))
    except Answered as answered:
        return answered.result
    raise Refused(f"{module} gave no answer")


def pending(result: Mapping[str, Any]) -> list[str]:
    """The services that still run with an old setting, by a module's result."""
    services = [entry["name"] for entry in result.get("services") or [] if entry.get("recreate_pending")]
    return sorted({*services, *(result.get("recreate_pending") or [])})


def look(checks: Iterable[Mapping[str, Any]], secrets: set[str]) -> list[dict[str, Any]]:
    """Each check (`module`, `args`) with what it would change. None of them stops the others.

    What the rows may hold and must not be shown is added to `secrets`.
    """
    found = []
    with project_task.one_look():
        for check in checks:
            row: dict[str, Any] = {"module": check["module"], "changed": False, "recreate_pending": [], "error": None}
            row["warnings"] = []
            try:
                result = ask(check["module"], check["args"], secrets, row["warnings"])
                row.update(changed=bool(result["changed"]), recreate_pending=pending(result))
            except Refused as refused:
                row["error"] = str(refused)
            except Exception as error:  # whatever it is, the module itself tells it better
                row["error"] = f"{type(error).__name__}: {error}"
            found.append(row)
    return found


def in_place(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Whether there is nothing to do, as far as all could be told."""
    return not any(row["changed"] or row["recreate_pending"] or row["error"] is not None for row in rows)
