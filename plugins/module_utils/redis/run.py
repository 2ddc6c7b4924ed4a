# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What redis_maxmemory does, step by step: look, judge, set live, make it last; and back."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.compose import filed as compose_filed
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.words import CommandError
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import persist as redis_persist
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import place as redis_place
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import queues as redis_queues
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import room as redis_room
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import values as redis_values
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.conf import ConfError
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.server import (
    ConfigDenied,
    RedisError,
    Server,
    Stopped,
    connect,
    local_pid,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.units import SizeError

ERRORS: tuple[type[Exception], ...] = (RedisError, CommandError, ConfError, SizeError)

_SECRET_WORDS = re.compile(
    r"((?:requirepass|masterauth|primaryauth|masteruser|[\w-]*pass(?:word|wd)?)[\"',:=]*\s*[\"']?)([^\s\"',]+)", re.I
)


@dataclass
class Task:
    """One run against one server."""

    params: Mapping[str, Any]
    check_mode: bool
    owner: str
    place: redis_place.Place
    server: Server
    journal: Journal
    warnings: list[str] = field(default_factory=list)


@dataclass
class Reading:
    """What was found before anything is changed. `denied`: CONFIG is out of reach, values come from INFO."""

    before: dict[str, str]
    contents: redis_queues.Contents | None
    save: str | None
    denied: ConfigDenied | None = None
    saving: bool = True


def reach(place: redis_place.Place, patience: float) -> Server:
    """Connect to the server that was found. Raises RedisError."""
    if place.stopped:
        return Stopped(place.key)
    server = connect(place.endpoints, place.logins, patience, place.around.config_command or "CONFIG")
    if place.container is None and place.local and local_pid(server.info):
        conf = redis_place.read_local_conf(server.config_file)
        server.rename_config(redis_place.Surroundings(conf=conf).config_command or "CONFIG")
    return server


# Looking and judging


def wanted_values(params: Mapping[str, Any], limit: int) -> dict[str, str]:
    """The parameters to set, the policy first so that nothing is evicted by the old one meanwhile.

    Raises SizeError or RedisError for what no Redis would take.
    """
    wanted: dict[str, str] = {}
    if params["policy"]:
        wanted["maxmemory-policy"] = params["policy"]
    if params["maxmemory"]:
        wanted["maxmemory"] = str(redis_room.wanted_bytes(params["maxmemory"], limit))
    for entry in params["settings"]:
        name = entry["name"].lower()
        if name in wanted or name in ("maxmemory", "maxmemory-policy"):
            raise RedisError(f"{name} is given twice, or has a parameter of its own. Nothing was changed.")
        wanted[name] = redis_values.text_of(entry["value"])
    return wanted


def read(task: Task, names: Iterable[str]) -> Reading:
    """The present values, the keys' owners, and whether the server saves to disk."""
    server = task.server
    denied = None
    try:
        before = server.config_get(list(names))
        save: str | None = server.config_get(["save"])["save"]
    except ConfigDenied as error:
        denied, save = error, None
        known = {"maxmemory": "maxmemory", "maxmemory-policy": "maxmemory_policy"}
        missing = [name for name in names if name not in known]
        if missing:
            raise RedisError(f"{error}. So {', '.join(missing)} can be neither read nor set.") from error
        before = {name: str(server.info.get(known[name], "")) for name in names}
    try:
        contents = redis_queues.look(server)
    except RedisError:
        contents = None
        task.warnings.append("this user may not look at the keys (SCAN), so whether they hold jobs is not known.")
    return Reading(before, contents, save, denied)


def saves_after(info: Mapping[str, Any], wanted: Mapping[str, str], save: str | None) -> bool:
    """Whether the server will save to disk once it has the wanted values."""
    if "appendonly" in wanted:
        info = {**info, "aof_enabled": int(wanted["appendonly"] == "yes")}
    return redis_room.saves(info, wanted.get("save", save))


def judge(task: Task, wanted: Mapping[str, str], reading: Reading, room: redis_room.Room | None) -> None:
    """Refuse what would lose jobs or get the server killed. Raises RedisError; nothing has been changed then."""
    info = task.server.info
    policy = wanted.get("maxmemory-policy") or str(info.get("maxmemory_policy", ""))
    reason, warnings = redis_queues.judge(policy, task.params["purpose"], reading.contents)
    task.warnings += warnings
    if reason and task.params["allow_job_eviction"]:
        task.warnings.append(f"allow_job_eviction: {reason}")
    elif reason and "maxmemory-policy" in wanted:
        raise RedisError(f"refused: {reason} Nothing was changed. (allow_job_eviction: true overrides this.)")
    elif reason:
        task.warnings.append(f"the policy in force is not safe here: {reason}")
    if room is None:
        return
    used = int(info.get("used_memory", 0) or 0) - int(info.get("mem_not_counted_for_evict", 0) or 0)
    problems = [] if room.fits else [redis_room.too_little(room, reading.saving)]
    if room.maxmemory < used:
        message = redis_room.below_use(room.maxmemory, used, policy)
        if policy == redis_queues.SAFE_POLICY:
            problems.append(message)
        else:
            task.warnings.append(message)
    if problems and not task.params["force"]:
        raise RedisError(f"refused: {' '.join(problems)} Nothing was changed. (force: true overrides this.)")
    task.warnings += [f"force: {problem}" for problem in problems]


def remarks(task: Task, reading: Reading) -> list[str]:
    """What the operator should know about this server besides."""
    info = task.server.info
    found = []
    if info.get("role") == "slave":
        found.append(
            f"this is a replica of {info.get('master_host')}:{info.get('master_port')}: with replica-ignore-maxmemory "
            "(the default) its own bound holds only once it is promoted. Set the same on its master."
        )
    if reading.contents and reading.contents.found and not reading.saving:
        found.append(
            f"it holds {reading.contents.summary} and does not save to disk: a restart loses all jobs. "
            "Switch on appendonly."
        )
    return found


# Setting and putting back


def present(task: Task) -> dict[str, Any]:
    """Bring the server to the wanted values, live and for good. Raises one of ERRORS and of project_task's."""
    limit, source = redis_place.memory_limit(task.place, task.params["memory_limit"], task.server.info)
    wanted = wanted_values(task.params, limit)
    reading = read(task, wanted)
    reading.saving = saves_after(task.server.info, wanted, reading.save)
    room = None
    if "maxmemory" in wanted:
        room = redis_room.room(int(wanted["maxmemory"]), limit, source, task.server.info, reading.saving)
    judge(task, wanted, reading, room)
    task.warnings += remarks(task, reading)
    live = {name: value for name, value in wanted.items() if not redis_values.equal(name, value, reading.before[name])}
    spelled = {name: redis_room.spelled(value) if name == "maxmemory" else value for name, value in wanted.items()}
    plan = redis_persist.plan(task.place, task.server, task.params["persist"], task.params["write_to"], spelled)
    pending = bool(reading.denied and live)
    if pending and not (plan.compose or plan.path):
        raise RedisError(f"{reading.denied}, and there is no file to write the settings to. Nothing was changed.")
    files = _planned_files(plan, bool(live), task.server.config_file or "")
    if not task.check_mode:
        files = _carry_out(task, plan, {} if pending else live, reading.before)
    task.warnings += plan.warnings
    after = dict(reading.before, **({} if pending else live))
    return {
        **_report(task, reading.before, after, files, [(plan.path, plan.before, plan.after), _compose_texts(plan)]),
        "changed": bool(files or (live and not pending)),
        "purpose_found": None if reading.contents is None else reading.contents.as_dict(),
        "room": None if room is None else room.as_dict(),
        "persisted_via": plan.via,
        "recreate_pending": [task.place.key] if pending else [],
        "recreate_at_next_up": _made_otherwise(task, plan),
    }


def _planned_files(plan: redis_persist.Plan, live: bool, server_file: str) -> list[str]:
    if plan.compose is not None:
        return [plan.compose.path] if plan.changed else []
    if plan.ask_server and live:
        return [server_file]
    return [plan.path] if plan.path and plan.changed else []


def _compose_texts(plan: redis_persist.Plan) -> tuple[str | None, bytes | None, bytes | None]:
    if plan.compose is None or not plan.compose.changed:
        return None, None, None
    return plan.compose.path, plan.compose.before, plan.compose.after


def _made_otherwise(task: Task, plan: redis_persist.Plan) -> list[str]:
    """The service, where the next `docker compose up` will recreate it for its command."""
    home = task.place.home
    if plan.compose is None or home is None:
        return []
    command = plan.compose.model["services"][home.service].get("command")
    running = home.config.get("Cmd")
    if command is None:
        return []
    return [home.service] if [str(word).replace("$$", "$") for word in command] != (running or []) else []


def _carry_out(task: Task, plan: redis_persist.Plan, live: Mapping[str, str], before: Mapping[str, str]) -> list[str]:
    """Set live first (the server may refuse), then write; a file that cannot be written puts the live values back."""
    filed = [name for name in live if task.journal.remember(task.owner, _live_key(task, name), before[name])]
    try:
        set_live(task.server, live)
        return redis_persist.write(task.journal, task.owner, task.place, task.server, plan, bool(live))
    except Exception as error:  # of whatever kind: a compose file has errors of its own
        try:
            _put_back(task.server, {name: before[name] for name in live})
        except RedisError as second:
            raise RedisError(f"{error} The server's previous values could not be put back: {second}") from error
        with contextlib.suppress(OSError):
            for name in filed:
                task.journal.forget(task.owner, _live_key(task, name))
        raise


def _put_back(server: Server, before: Mapping[str, str]) -> None:
    """Set what differs from `before`: a parameter that was refused may not be settable at all."""
    now = server.config_get(list(before))
    differing = {name: value for name, value in before.items() if not redis_values.equal(name, value, now[name])}
    server.config_set(_policy_first(differing))


def set_live(server: Server, values: Mapping[str, str]) -> None:
    """CONFIG SET, and look whether the server took what was meant. Raises RedisError."""
    if not values:
        return
    server.config_set(values)
    now = server.config_get(list(values))
    wrong = [
        f"{name} is {redis_values.shown(now)[name]}"
        for name, value in values.items()
        if not redis_values.equal(name, value, now[name])
    ]
    if wrong:
        raise RedisError(f"{server.endpoint} took the settings, but {', '.join(wrong)}.")


def _live_key(task: Task, name: str) -> str:
    return f"redis {task.place.key} {name}"


def absent(task: Task) -> dict[str, Any]:
    """Put back what this undo_key changed on this server, live and in every file. Raises as `present` does."""
    prefix = _live_key(task, "")
    owned = {
        key[len(prefix) :]: value
        for key, value in task.journal.owned(task.owner).items()
        if key.startswith(prefix) and isinstance(value, str)
    }
    now = task.server.config_get(list(owned)) if owned else {}
    live = {name: owned[name] for name in now if not redis_values.equal(name, owned[name], now[name])}
    rewrite = redis_persist.asked_server(task.journal, task.owner, task.place)
    if rewrite and task.place.stopped:
        task.server.config_rewrite()
    if not task.check_mode:
        set_live(task.server, _policy_first(live))
    undone = redis_persist.undo(task.journal, task.owner, task.place, task.check_mode)
    if not task.check_mode:
        if rewrite:
            task.server.config_rewrite()
            redis_persist.forget_rewrite(task.journal, task.owner, task.place)
        for name in owned:
            task.journal.forget(task.owner, prefix + name)
    files = [entry.path for entry in undone if entry.before != entry.after]
    texts = [(entry.path, entry.before, entry.after) for entry in undone]
    return {
        **_report(task, now, {**now, **live}, files, texts),
        "changed": bool(live or files),
        "undone": [{"path": entry.path, "outcome": entry.outcome} for entry in undone],
        "purpose_found": None,
        "room": None,
        "persisted_via": "none",
        "recreate_pending": [],
        "recreate_at_next_up": [],
    }


def changed_services(journal: Journal, owner: str) -> list[str]:
    """The services of a project whose server, command or configuration file this owner has changed."""
    found = {str(place[1]) for place in compose_filed.places(journal, owner, None) if place[0] == "services"}
    for key, was in journal.owned(owner).items():
        if key.startswith("redis "):
            # A parameter's value, or something about a configuration file.
            found.add(key.split(" ")[1 if isinstance(was, str) else 2])
    return sorted(found)


def _policy_first(values: Mapping[str, str]) -> dict[str, str]:
    """The policy before the bound, unless the policy goes back to an evicting one: then the bound comes first."""
    names = sorted(values, key=lambda name: name != "maxmemory-policy")
    if values.get("maxmemory-policy", redis_queues.SAFE_POLICY) != redis_queues.SAFE_POLICY:
        names.reverse()
    return {name: values[name] for name in names}


# Reporting


Texts = Sequence[tuple["str | None", "bytes | None", "bytes | None"]]


def _report(
    task: Task, before: Mapping[str, str], after: Mapping[str, str], files: Sequence[str], texts: Texts
) -> dict[str, Any]:
    info = task.server.info
    return {
        "server": {"name": task.server.name, "address": str(task.server.endpoint), "login": task.server.login.source},
        "before": redis_values.shown(before),
        "after": redis_values.shown(after),
        "used_memory": int(info.get("used_memory", 0) or 0),
        "files_changed": list(files),
        "diff": _diff(task, before, after, texts),
    }


def _diff(task: Task, before: Mapping[str, str], after: Mapping[str, str], texts: Texts) -> list[dict[str, str]]:
    header = f"{task.server.endpoint} (CONFIG)"
    found = []
    if dict(before) != dict(after):
        found.append(
            {"before_header": header, "after_header": header, "before": _lines(before), "after": _lines(after)}
        )
    secrets = task.place.secrets()
    for path, old, new in texts:
        if path and old != new:
            one, two = changed_lines(old or b"", new or b"")
            found.append(
                {
                    "before_header": path,
                    "after_header": path,
                    "before": masked(one, secrets),
                    "after": masked(two, secrets),
                }
            )
    return found


def _lines(values: Mapping[str, str]) -> str:
    return "".join(f"{name} {value}\n" for name, value in sorted(redis_values.shown(values).items()))


def changed_lines(before: bytes, after: bytes) -> tuple[str, str]:
    """The lines of two texts that differ, without the rest of the file, which may hold secrets."""
    one = before.decode("utf-8", "replace").splitlines(keepends=True)
    two = after.decode("utf-8", "replace").splitlines(keepends=True)
    old, new = "", ""
    for tag, start, end, start2, end2 in difflib.SequenceMatcher(None, one, two, autojunk=False).get_opcodes():
        if tag != "equal":
            old += "".join(one[start:end])
            new += "".join(two[start2:end2])
    return old, new


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text without the known secrets, and without what stands after a word like requirepass."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "********")
    return _SECRET_WORDS.sub(lambda match: match[1] + "********", text)
