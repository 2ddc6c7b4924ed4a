# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every task on a Compose project starts with: the engine, the project's files, and the lock on its journal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils import cgroup, docker_engine, units
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import project as compose_project
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import (
    UNDO_ARGUMENT_SPEC,
    Journal,
    JournalError,
)

ERRORS: tuple[type[Exception], ...] = (
    compose_project.ProjectError,
    docker_engine.EngineError,
    cgroup.CgroupError,
    units.SizeError,
    JournalError,
    ValueError,
    OSError,
)

# What every module takes that changes a project: where it is, which file is written, how it is taken back.
CHANGE_ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **compose_project.PROJECT_ARGUMENT_SPEC,
    **compose_project.WRITE_ARGUMENT_SPEC,
    **UNDO_ARGUMENT_SPEC,
}


@dataclass
class ProjectTask:
    """One task's view of the host. `engine` is None where it may be missing and does not answer."""

    params: Mapping[str, Any]
    check_mode: bool
    owner: str
    engine: docker_engine.Engine | None
    project: compose_project.Project
    journal: Journal
    warnings: list[str] = field(default_factory=list)

    def containers(self) -> list[docker_engine.Container]:
        """The containers of the project's services: stopped ones too, those of `docker compose run` not."""
        return lasting(self.engine, self.project.name) if self.engine else []


def connect(docker_host: str | None, required: bool, warnings: list[str]) -> docker_engine.Engine | None:
    """The engine, or None (and a warning) where it does not answer and is not required. Raises EngineError."""
    try:
        return docker_engine.Engine(docker_host)
    except docker_engine.EngineError as error:
        if required:
            raise
        warnings.append(f"{error} Running containers could not be looked at.")
        return None


def find_project(params: Mapping[str, Any], engine: docker_engine.Engine | None) -> compose_project.Project:
    """The project that the task's parameters mean. Raises ProjectError, EngineError."""
    labels = engine.compose_labels() if engine else []
    wanted = (params["project_src"], params["files"], params["project_name"])
    return compose_project.discover(*wanted, run=_ask_compose, labels=labels)


# What Compose has answered already, while nothing is changed; None where something may be.
_answers: dict[tuple[tuple[str, ...], bytes | None], compose_project.Completed] | None = None


def _ask_compose(argv: Sequence[str], stdin: bytes | None = None) -> compose_project.Completed:
    if _answers is None:
        return compose_project.run_command(argv, stdin)
    question = (tuple(argv), stdin)
    if question not in _answers:
        _answers[question] = compose_project.run_command(argv, stdin)
    return _answers[question]


@contextlib.contextmanager
def one_look() -> Iterator[None]:
    """Ask Compose nothing twice, for all tasks in the body. None of them may change a project.

    Only answers are shared: a project is each task's own, as what one asks it for (a service of an inactive profile)
    must not show in another's result.
    """
    global _answers
    _answers = {}
    try:
        yield
    finally:
        _answers = None


def lasting(engine: docker_engine.Engine, project: str) -> list[docker_engine.Container]:
    """A project's containers but for those that are only passing (`docker compose run`)."""
    return [entry for entry in engine.containers(project) if not entry.passing]


def looked_at(
    module: AnsibleModule,
) -> tuple[compose_project.Project, list[docker_engine.Container], list[str]]:
    """A project, its containers and warnings, for a task that only reads. Raises one of ERRORS."""
    engine = docker_engine.Engine(module.params["docker_host"])
    project = find_project(module.params, engine)
    return project, lasting(engine, project.name), list(project.warnings)


@contextlib.contextmanager
def opened(module: AnsibleModule, engine_required: bool) -> Iterator[ProjectTask]:
    """Open the project of a task that changes things, and hold its lock (not in check mode, which changes nothing).

    Raises one of ERRORS before anything is changed.
    """
    params = module.params
    warnings: list[str] = []
    engine = connect(params["docker_host"], engine_required, warnings)
    project = find_project(params, engine)
    journal = Journal(project.name, params["state_dir"])
    with contextlib.ExitStack() as stack:
        _open(stack, journal, module.check_mode, params["lock_timeout"])
        if not module.check_mode:
            # Another run may have changed files, or made one, while this one waited.
            project = find_project(params, engine)
        warnings += project.warnings
        owner = params["undo_key"] or module._name.rsplit(".", 1)[-1]
        yield ProjectTask(params, module.check_mode, owner, engine, project, journal, warnings)


def _open(stack: contextlib.ExitStack, journal: Journal, check_mode: bool, seconds: float) -> None:
    try:
        stack.enter_context(journal.opened(check_mode, seconds))
    except PermissionError as error:
        raise JournalError(
            f"no permission to keep the undo journal in {journal.folder}. Nothing was changed. "
            "Use become, or another state_dir."
        ) from error


Work = Callable[[ProjectTask], "dict[str, Any]"]


def carry_out(module: AnsibleModule, engine_required: bool, present: Work, absent: Work) -> NoReturn:
    """Open the project, do what the task's state asks for, and end the task with its result or one clear message."""
    try:
        with opened(module, engine_required) as task:
            result = present(task) if module.params["state"] == "present" else absent(task)
    except ERRORS as error:
        fail(module, error)
    for warning in task.warnings:
        module.warn(warning)
    module.exit_json(**result)
    raise AssertionError


def fail(module: AnsibleModule, error: Exception) -> NoReturn:
    """End the task with one clear message."""
    module.fail_json(msg=_sentence(error))
    raise AssertionError


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the undo journal or a compose file could not be written'}: {error.strerror}."
    text = str(error)
    # A message that starts with a name (of a service, a file) keeps its letters.
    return text[:1].upper() + text[1:] if text.startswith(("the ", "there ", "no ", "a ")) else text
