# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What docker_daemon does with a found engine: bring its file to the wanted settings or back, say what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import atomic_file, docker_share
from ansible_collections.smallhost.headroom.plugins.module_utils.host import daemon, daemon_json
from ansible_collections.smallhost.headroom.plugins.module_utils.host.docker_task import Task, validate

# After its start dockerd restores containers and networks; measured sooner it has not yet what it will keep.
_QUIET_SECONDS = 5.0


def present(task: Task) -> dict[str, Any]:
    """Merge the wanted settings into the file and have them take effect. Raises what the floor below raises."""
    path, wanted_all = task.engine.file, task.params["settings"]
    before = atomic_file.read(path)
    current = daemon_json.parse(before, path)
    wanted, skipped = daemon_json.applicable(wanted_all, current, task.engine.around())
    target = daemon_json.merged(current, wanted)
    names = daemon_json.changed_keys(current, target)
    after = daemon_json.serialize(target, before) if names else before
    pending = sorted({*task.pending, *daemon_json.needs_restart(names, target)})
    restart = bool(pending) and task.params["restart"]
    checked = validate(after, path, task.engine.argv, wanted) if names and after is not None else None
    if restart:
        task.require_restartable(bool(target.get(daemon_json.LIVE_RESTORE)) or task.engine.live_restore)
    memory = docker_share.measure()
    if not task.check_mode:
        if names:
            task.keep_first(names, current, wanted)
            task.expect(pending)
            task.journal.write_file(task.owner, path, after, mode=0o644)
            _or_put_back(task, before, lambda: _reload(task, target))
        if restart:
            _or_put_back(task, before, task.restart)
            task.expect([])
            time.sleep(_QUIET_SECONDS)
            pending = []
    rows = [_row(name, current, target, pending, names) for name in wanted]
    changed = bool(names) or restart
    return _result(task, changed, (before, after), rows, skipped, pending, restart, memory, checked)


def _reload(task: Task, target: Mapping[str, Any]) -> None:
    """live-restore is what can be asked for afterwards; where the file does not say it the engine is only told."""
    told = daemon_json.LIVE_RESTORE in target and daemon_json.LIVE_RESTORE not in daemon_json.flags(task.engine.argv)
    task.reload(bool(target[daemon_json.LIVE_RESTORE]) if told else None)


def _or_put_back(task: Task, before: bytes | None, act: Callable[[], None]) -> None:
    """A daemon that does not take the new file, or does not start with it, gets the old one. Raises DaemonError."""
    try:
        act()
    except daemon.DaemonError as error:
        if task.restarted:
            raise
        task.journal.write_file(task.owner, task.engine.file, before)
        if daemon.read_pid(task.params["pidfile"], "dockerd") is None:
            daemon.systemctl("reset-failed", str(task.engine.unit))
            daemon.systemctl("start", str(task.engine.unit))
        raise daemon.DaemonError(f"{error} {task.engine.file} was put back as it was.") from error


def _row(
    name: str, before: Mapping[str, Any], after: Mapping[str, Any], pending: Sequence[str], changed: Sequence[str]
) -> dict[str, Any]:
    return {
        "name": name,
        "before": before.get(name),
        "after": after.get(name),
        "changed": name in changed,
        "applied_by": "reload" if name in daemon_json.RELOADABLE else "restart",
        "in_force": name not in pending,
    }


def absent(task: Task) -> dict[str, Any]:
    """Put the file back as it was before this owner's first run, and the daemon with it."""
    path = task.engine.file
    before = atomic_file.read(path)
    current = daemon_json.parse(before, path)
    written, first = task.first_values()

    def inverse(data: bytes) -> bytes | None:
        rest = daemon_json.unmerged(daemon_json.parse(data, path), first, written)
        return daemon_json.serialize(rest, data) if rest else None

    _outcome, after = task.journal.preview_undo(task.owner, path, inverse)
    target = daemon_json.parse(after, path)
    names = daemon_json.changed_keys(current, target)
    # What never came into force needs no restart to go out of it.
    unborn = task.pending
    pending = [name for name in daemon_json.needs_restart(names, target) if name not in unborn] if names else unborn
    restart = bool(pending) and task.params["restart"]
    kept_alive = daemon_json.LIVE_RESTORE in written and task.engine.live_restore
    switch_off = kept_alive and not target.get(daemon_json.LIVE_RESTORE)
    if restart:
        task.require_restartable(task.engine.live_restore)
    memory = docker_share.measure()
    if not task.check_mode:
        if restart:
            # Under live-restore to the end: a daemon that starts without it stops what it finds running.
            _write(task, daemon_json.with_live_restore(target, True) if kept_alive else target, before)
            task.restart()
        if switch_off:
            _write(task, daemon_json.with_live_restore(target, False), before)
            task.reload(False)
        task.journal.undo_file(task.owner, path, inverse)
        if names and not switch_off:
            _reload(task, target)
        task.forget_values()
        task.expect([] if restart else pending)
        if restart:
            time.sleep(_QUIET_SECONDS)
            pending = []
    rows = [_row(name, current, target, pending, names) for name in names]
    changed = before != after or restart or switch_off
    return _result(task, changed, (before, after), rows, [], pending, restart, memory, None)


def _outlived(task: Task, target: Mapping[str, Any], to_reload: bool) -> bool:
    """Whether containers outlive dockerd's next start: it has to end under live-restore, and to begin under it."""
    if daemon_json.LIVE_RESTORE in daemon_json.flags(task.engine.argv):
        return task.engine.live_restore
    return bool(target.get(daemon_json.LIVE_RESTORE)) and (task.engine.live_restore or to_reload)


def _write(task: Task, settings: Mapping[str, Any], like: bytes | None) -> None:
    task.journal.write_file(task.owner, task.engine.file, daemon_json.serialize(settings, like), mode=0o644)


def _result(
    task: Task,
    changed: bool,
    texts: tuple[bytes | None, bytes | None],
    rows: list[dict[str, Any]],
    skipped: Sequence[daemon_json.Skipped],
    pending: Sequence[str],
    restart: bool,
    memory: Mapping[str, int],
    checked: str | None,
) -> dict[str, Any]:
    path = task.engine.file
    before, after = ((text or b"").decode("utf-8", "replace") for text in texts)
    if pending and not restart:
        alive = _outlived(task, daemon_json.parse(texts[1], path), task.check_mode and changed)
        task.warnings.append(
            f"{', '.join(pending)} in {path} count from the next start of dockerd, which was not allowed here "
            "(restart: false). "
            + (
                "Containers keep running through it under live-restore."
                if alive
                else "That start stops all containers."
            )
        )
    return {
        "changed": changed,
        "path": path,
        "settings": rows,
        "not_applied": [{"name": entry.name, "reason": entry.reason} for entry in skipped],
        "restart_pending": [] if restart else list(pending),
        "reloaded": task.reloaded,
        "restarted": task.restarted,
        "validated_by": checked,
        "memory": {
            "before": dict(memory),
            "after": docker_share.measure() if changed and not task.check_mode else dict(memory),
        },
        "diff": [{"before_header": path, "after_header": path, "before": before, "after": after}]
        if texts[0] != texts[1]
        else [],
    }
