# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make Redis parameters last: in the compose file's command, in the configuration file, or by CONFIG REWRITE."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import atomic_file
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import change, edit
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import project as compose_project
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.command import CommandError, CommandLine
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.undo import Undone, undo_files
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import conf as redis_conf
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import place as redis_place
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import values as redis_values
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.place import Home, Place
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.server import RedisError, Server


@dataclass
class Plan:
    """How the parameters will last. `via`: rewrite, compose or none.

    `may_fail`: nobody insisted on it, so that a server that cannot write its file is worth a warning only.
    For `rewrite` either `path` is edited (`in_place`: it is the very file that is bind-mounted), or, without a path,
    the server is asked to CONFIG REWRITE.
    """

    via: str
    path: str | None = None
    before: bytes | None = None
    after: bytes | None = None
    in_place: bool = False
    compose: change.Prepared | None = None
    ask_server: bool = False
    may_fail: bool = False
    values: Mapping[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether a file would change. What CONFIG REWRITE does is only known when parameters change."""
        return self.compose.changed if self.compose else self.before != self.after


def plan(place: Place, server: Server, how: str, write_to: str, values: Mapping[str, str]) -> Plan:
    """Decide where the parameters are written, and make the new text. Nothing is written here.

    Raises RedisError where the wanted way does not exist, CommandError, EditError, ProjectError or ConfError where the
    text cannot be changed safely.
    """
    if how == "none" or not values:
        return Plan("none")
    path = server.config_file or _named_conf(place)
    conf = redis_place.conf_on_this_host(place, path, server.info)
    shadowed = sorted(set(values) & set(place.around.flags))
    if how == "compose":
        if place.home is None:
            raise RedisError("persist: compose needs a service of a compose project, and this server belongs to none.")
        return _in_compose(place.home, write_to, values)
    if how == "rewrite":
        if shadowed:
            raise RedisError(
                f"the command line sets {', '.join(shadowed)}, which overrides the configuration file at every start: "
                "use persist: compose (or auto)."
            )
        return _in_conf(place, server, conf, path, values)
    if place.home is not None and (shadowed or conf is None):
        return _in_compose(place.home, write_to, values)
    if conf is not None and not shadowed:
        return _in_conf(place, server, conf, path, values)
    if path and place.container is None:
        return Plan("rewrite", ask_server=True, may_fail=True, values=values)
    return Plan("none", warnings=[_nowhere(place, path, shadowed)])


def _named_conf(place: Place) -> str | None:
    return redis_place.command_flags(place.container.data)[1] if place.container is not None else None


def _nowhere(place: Place, path: str | None, shadowed: list[str]) -> str:
    why = "it was started without a configuration file"
    if shadowed:
        why = f"its command line sets {', '.join(shadowed)}"
    elif path:
        why = f"its configuration file {path} does not outlive the container or is not on this host"
    flags = "the command line (--maxmemory 96mb --maxmemory-policy noeviction)"
    return f"the settings hold until this Redis is started again: {why}. Put them on {flags} where it is started."


def _in_conf(
    place: Place, server: Server, conf: tuple[str, bool] | None, path: str | None, values: Mapping[str, str]
) -> Plan:
    if not path:
        raise RedisError(
            "persist: rewrite needs a configuration file, and this server was started without one. Use persist: "
            "compose, "
            "or put the flags on the command line that starts it."
        )
    if conf is None:
        return Plan("rewrite", ask_server=True, values=values)
    host_path, is_mount = conf
    if not os.access(host_path, os.W_OK):
        if place.container is None:
            return Plan("rewrite", ask_server=True, values=values)
        raise RedisError(f"no permission to write {host_path}. Nothing was changed. Use become.")
    before = atomic_file.read(host_path)
    after = redis_conf.set_directives(before or b"", dict(values))
    return Plan("rewrite", host_path, before, after, is_mount, values=values)


# In the compose file


def _in_compose(home: Home, write_to: str, values: Mapping[str, str]) -> Plan:
    if edit.YAML_IMPORT_ERROR:
        raise RedisError("PyYAML (python3-yaml) is missing, and a compose file has to be changed. Nothing was.")
    project = home.project
    path = compose_project.target_file(project, write_to)
    effective = _effective(home, project.config())
    if all(_says(effective, name, value) for name, value in values.items()):
        return Plan("compose", compose=change.Prepared(path, None, b"", project.config()), values=values)
    for keep in (True, False):
        prepared = change.prepare(project, path, _edits(home, path, values, keep))
        result = _effective(home, prepared.model)
        missing = [name for name, value in values.items() if not _says(result, name, value)]
        if not missing:
            return Plan("compose", compose=prepared, values=values)
    raise RedisError(
        f"{os.path.basename(path)} was changed on trial, but Compose still reads other values for "
        f"{', '.join(missing)}: a later file or the entrypoint sets them. Nothing was changed."
    )


def _edits(home: Home, path: str, values: Mapping[str, str], keep_interpolation: bool) -> list[edit.Set | edit.Delete]:
    """One edit for each parameter: the words between two that change then keep their line breaks."""
    line = _raw(home, path)
    edits: list[edit.Set | edit.Delete] = []
    for name, value in values.items():
        line = _with(line, name, value, keep_interpolation)
        edits.append(edit.Set(("services", home.service, "command"), line.value, literal=True))
    return edits


def _entrypoint(home: Home, service: Mapping[str, Any]) -> list[str]:
    own = service.get("entrypoint")
    if own is None:
        own = home.config.get("Entrypoint") or []
    return [str(word) for word in ([own] if isinstance(own, str) else own)]


def _effective(home: Home, model: Mapping[str, Any]) -> CommandLine:
    """The command as Compose reads it; the image's own where the file has none."""
    service = model["services"][home.service]
    command = service.get("command")
    return _parsed(home, service, _image_command(home, model) if command is None else command)


def _image_command(home: Home, model: Mapping[str, Any]) -> list[str]:
    """What the image runs: the running container's command, as long as no compose file gives one."""
    if model["services"][home.service].get("entrypoint") is not None:
        return []  # an entrypoint of the service's own discards the image's command (Compose specification)
    return [str(word) for word in home.config.get("Cmd") or []]


def _parsed(home: Home, service: Mapping[str, Any], command: Any) -> CommandLine:
    value = command if isinstance(command, str) else [str(word) for word in command]
    line = redis_place.parse(value, _entrypoint(home, service))
    if line is None:
        raise CommandError(f"the command of {home.service} does not start redis-server in a way that can be changed")
    return line


def _raw(home: Home, path: str) -> CommandLine:
    """The command as the files write it, variables and all: the last file up to `path` that has one counts."""
    project, service = home.project, home.service
    found: Any = None
    for file in [*project.files, path]:
        data = atomic_file.read(file)
        if data is not None:
            own = edit.Document(data, os.path.basename(file)).get(("services", service, "command"))
            found = own if own is not None else found
    model = project.config()
    return _parsed(home, model["services"][service], _image_command(home, model) if found is None else found)


def _says(line: CommandLine, name: str, value: str) -> bool:
    """Whether the command line sets the parameter to this value already."""
    found = line.get_all(f"--{name}")
    return bool(found) and redis_values.equal(name, value, " ".join(" ".join(words) for words in found))


def _with(line: CommandLine, name: str, value: str, keep_interpolation: bool) -> CommandLine:
    flag = f"--{name}"
    first, *more = redis_values.lines(name, value)
    found = line.get_all(flag)
    if found and _says(line, name, value):
        return line
    if len(found) != 1 + len(more) or more:
        line = line.without_flag(flag) if found else line
        for words in (first, *more):
            line = line.with_added_flag(flag, words[1:])
        return line
    return line.with_flag(flag, first[1:], keep_interpolation)


# Writing and taking back


def write(journal: Journal, owner: str, place: Place, server: Server, planned: Plan, live_changed: bool) -> list[str]:
    """Write what was planned; the files that changed. The bytes before are in the journal first.

    Raises OSError (the file is as it was then), or RedisError where the server cannot rewrite its file.
    """
    if planned.compose is not None and place.home is not None:
        change.write(journal, owner, place.home.project, planned.compose)
        return [planned.compose.path] if planned.compose.changed else []
    if planned.path is not None:
        if not planned.changed:
            return []
        for name, was in redis_conf.remember(planned.before or b"", planned.values).items():
            journal.remember(owner, _conf_key(place, planned.path, name), was)
        journal.write_file(owner, planned.path, planned.after, in_place=planned.in_place)
        return [planned.path]
    if planned.ask_server:
        # At each run: whether its file has them from an earlier one, or at all, is not known here.
        try:
            server.config_rewrite()
        except RedisError as error:
            if not planned.may_fail:
                raise
            planned.via = "none"
            planned.warnings.append(f"the settings hold until this Redis is started again: {error}.")
            return []
        journal.remember(owner, f"redis rewrite {place.key}", True)
        return [server.config_file or ""] if live_changed else []
    return []


def _conf_key(place: Place, path: str, name: str) -> str:
    return f"redis conf {place.key} {os.path.realpath(path)} {name}"


def undo(journal: Journal, owner: str, place: Place, check_mode: bool) -> list[Undone]:
    """Take this owner's changes to this server out of the compose file and the configuration files."""
    undone: list[Undone] = []
    if place.home is not None:
        undone += undo_files(journal, owner, place.home.project, [place.home.service], check_mode)
    for path in journal.files(owner):
        prefix = _conf_key(place, path, "")
        owned = {key[len(prefix) :]: value for key, value in journal.owned(owner).items() if key.startswith(prefix)}
        if owned:
            undone.append(_undo_conf(journal, owner, path, owned, check_mode))
            for name in owned if not check_mode else ():
                journal.forget(owner, prefix + name)
    return undone


def _undo_conf(journal: Journal, owner: str, path: str, owned: Mapping[str, Any], check_mode: bool) -> Undone:
    def inverse(text: bytes) -> bytes:
        return redis_conf.restore(text, owned)

    before = atomic_file.read(path)
    if check_mode:
        outcome, after = journal.preview_undo(owner, path, inverse)
        return Undone(path, before, after, outcome)
    outcome = journal.undo_file(owner, path, inverse)
    return Undone(path, before, atomic_file.read(path), outcome)


def asked_server(journal: Journal, owner: str, place: Place) -> bool:
    """Whether the server's own file was rewritten by it, so that putting values back takes a rewrite too."""
    return bool(journal.recall(owner, f"redis rewrite {place.key}"))


def forget_rewrite(journal: Journal, owner: str, place: Place) -> None:
    """Drop the note that the server rewrote its file."""
    journal.forget(owner, f"redis rewrite {place.key}")
