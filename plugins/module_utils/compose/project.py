# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files make a Compose project, what Compose makes of them, and which of them a change belongs in.

Compose loads an override file by itself only when no file is named explicitly, so a change in the wrong file is
silently without effect. The labels of the project's containers say how it was started; they decide where there are any.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Callable, NamedTuple

# Compose's own order: compose-go cli/options.go, DefaultFileNames and DefaultOverrideFileNames.
BASE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDE_NAMES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)

LABEL_PROJECT = "com.docker.compose.project"
LABEL_SERVICE = "com.docker.compose.service"
LABEL_FILES = "com.docker.compose.project.config_files"
LABEL_FOLDER = "com.docker.compose.project.working_dir"
LABEL_ENV_FILES = "com.docker.compose.project.environment_file"
LABEL_ONE_OFF = "com.docker.compose.oneoff"

# First line of an override file that this collection made: tells it from one that the user keeps for other purposes.
OVERRIDE_MARK = b"# Made by the Ansible collection smallhost.headroom; Compose reads it after "

_CONFIG_SECONDS = 120
_NOT_FOUND = 127  # what env(1) ends with where there is no such program

# Twins of the documentation fragments smallhost.headroom.compose and smallhost.headroom.compose.write.
PROJECT_ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "project_src": {"type": "path", "required": True},
    "project_name": {"type": "str"},
    "files": {"type": "list", "elements": "str", "default": []},
    "docker_host": {"type": "str"},
}
WRITE_ARGUMENT_SPEC: dict[str, dict[str, Any]] = {"write_to": {"type": "str", "default": "auto"}}


class ProjectError(Exception):
    """The project cannot be found, read or accepted by Compose. Nothing has been changed when this is raised."""


class Completed(NamedTuple):
    """What a finished command said."""

    code: int
    out: bytes
    err: bytes


Runner = Callable[[Sequence[str], "bytes | None"], Completed]


def run_command(argv: Sequence[str], stdin: bytes | None = None) -> Completed:
    """Run without a shell. Raises ProjectError where the program is missing or hangs."""
    try:
        done = subprocess.run(list(argv), input=stdin or b"", capture_output=True, check=False, timeout=_CONFIG_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ProjectError(f"{' '.join(argv)} did not finish within {_CONFIG_SECONDS} seconds.") from error
    if done.returncode == _NOT_FOUND:
        raise ProjectError(
            "docker is not installed on this host (not found on PATH). Install Docker with its Compose plugin."
        )
    return Completed(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Choice:
    """How a project is put together. `files` are absolute; `explicit`: named with -f, so no override is looked for."""

    folder: str
    files: tuple[str, ...]
    explicit: bool
    name: str | None = None
    env_files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


# Deciding which files: plain data in, a Choice out


def _first(folder: str, names: Iterable[str]) -> str | None:
    return next((os.path.join(folder, name) for name in names if os.path.isfile(os.path.join(folder, name))), None)


def override_name(base: str) -> str:
    """The override file name that matches a base file's name: compose.yaml -> compose.override.yaml."""
    stem, extension = os.path.splitext(os.path.basename(base))
    return f"{stem}.override{extension}"


def _dotenv(folder: str) -> dict[str, str]:
    """COMPOSE_* settings of the project's .env. Only plain assignments: Compose reads these the same way."""
    try:
        with open(os.path.join(folder, ".env"), encoding="utf-8", errors="replace") as stream:
            lines = stream.read().splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        match = re.match(r"^\s*(?:export\s+)?(COMPOSE_[A-Z_]+)\s*=\s*(.*?)\s*$", line)
        if match:
            found[match[1]] = match[2].split(" #")[0].strip().strip("\"'")
    return found


def standard_files(folder: str, environment: Mapping[str, str]) -> Choice:
    """What Compose finds by itself when it is called in `folder` without -f.

    Raises ProjectError where there is nothing to find.
    """
    settings = {**_dotenv(folder), **{key: value for key, value in environment.items() if value}}
    listed = settings.get("COMPOSE_FILE")
    if listed:
        separator = settings.get("COMPOSE_PATH_SEPARATOR", os.pathsep)
        files = tuple(_absolute(folder, name) for name in listed.split(separator) if name)
        return Choice(folder, files, explicit=True)
    base = _first(folder, BASE_NAMES)
    if base is None:
        raise ProjectError(_nothing_found(folder))
    override = _first(folder, OVERRIDE_NAMES)
    return Choice(folder, (base, override) if override else (base,), explicit=False)


def _nothing_found(folder: str) -> str:
    message = f"there is no compose file in {folder} (looked for {', '.join(BASE_NAMES)})."
    others = sorted(
        name for name in os.listdir(folder) if re.search(r"compose.*\.ya?ml$", name) and name not in OVERRIDE_NAMES
    )
    if others:
        return f"{message} There is {', '.join(others)}: name it in files."
    parent = os.path.dirname(folder)
    above = _first(parent, BASE_NAMES) if parent != folder else None
    return f"{message} There is {above}: set project_src to {parent}." if above else message


def _absolute(folder: str, name: str) -> str:
    return os.path.normpath(os.path.join(folder, os.path.expanduser(name)))


def _label_files(labels: Mapping[str, str]) -> tuple[str, ...]:
    folder = labels.get(LABEL_FOLDER, "/")
    return tuple(_absolute(folder, name) for name in labels.get(LABEL_FILES, "").split(",") if name)


def _belongs(labels: Mapping[str, str], folder: str) -> bool:
    folders = {os.path.dirname(path) for path in _label_files(labels)} | {labels.get(LABEL_FOLDER, "")}
    return os.path.realpath(folder) in {os.path.realpath(place) for place in folders if place}


def _same(one: Iterable[str], two: Iterable[str]) -> bool:
    return [os.path.realpath(path) for path in one] == [os.path.realpath(path) for path in two]


def running_labels(
    labels: Sequence[Mapping[str, str]], folder: str, files: Sequence[str], project_name: str | None
) -> list[Mapping[str, str]]:
    """The label sets of this project's containers. Raises ProjectError where several projects share the folder."""
    mine = [entry for entry in labels if _belongs(entry, folder)]
    if project_name:
        return [entry for entry in mine if entry.get(LABEL_PROJECT) == project_name]
    if files:
        mine = [entry for entry in mine if _same(_label_files(entry), files)] or mine
    names = sorted({entry.get(LABEL_PROJECT, "") for entry in mine})
    if len(names) > 1:
        raise ProjectError(f"{folder} holds several running projects ({', '.join(names)}): say which in project_name.")
    return mine


def _latest_files(labels: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """The file list in use: the one that contains all others, else the newest container's (`labels`: newest first)."""
    lists = list(dict.fromkeys(_label_files(entry) for entry in labels))
    for candidate in lists:
        if all(set(other) <= set(candidate) for other in lists):
            return candidate
    return lists[0]


def _made_by_us(path: str) -> bool:
    try:
        with open(path, "rb") as stream:
            return stream.readline().startswith(OVERRIDE_MARK)
    except OSError:
        return False


def _from_labels(labels: Sequence[Mapping[str, str]], environment: Mapping[str, str]) -> Choice:
    files = _latest_files(labels)
    newest = labels[0]
    name, folder = newest.get(LABEL_PROJECT), newest.get(LABEL_FOLDER) or os.path.dirname(files[0])
    missing = [path for path in files if not os.path.isfile(path) and not path.endswith(OVERRIDE_NAMES)]
    if missing or not files:
        raise ProjectError(
            f"the running project {name} was started from {', '.join(missing) or 'standard input'}, "
            "which is not there: name the project's files in files."
        )
    files = tuple(path for path in files if os.path.isfile(path))
    env_files = tuple(path for path in newest.get(LABEL_ENV_FILES, "").split(",") if path)
    gone = [path for path in env_files if not os.path.isfile(path)]
    if gone:
        raise ProjectError(
            f"the running project {name} was started with --env-file {', '.join(gone)}, which is not there: without it "
            "its variables would be empty at the next restart. Nothing was changed. Put it back, or start the project "
            "with a file that stays."
        )
    try:
        standard = standard_files(folder, environment)
    except ProjectError:
        standard = None
    if standard and not standard.explicit:
        extra = standard.files[1:]
        if _same(files, standard.files) or (
            _same(files, standard.files[:1]) and all(_made_by_us(path) for path in extra)
        ):
            return replace(standard, name=name, env_files=env_files)
    return Choice(folder, files, explicit=True, name=name, env_files=env_files)


def choose(
    src: str,
    files: Sequence[str],
    project_name: str | None,
    labels: Sequence[Mapping[str, str]],
    environment: Mapping[str, str],
) -> Choice:
    """Which files make the project in the folder `src`.

    `files` named by the user come first, then the labels of the project's containers (newest first), then Compose's own
    discovery. Raises ProjectError where there is no such folder or file, or where the project is ambiguous.
    """
    if not os.path.isdir(src):
        raise ProjectError(f"the project folder {src} does not exist (or is no folder).")
    folder = os.path.abspath(src)
    named = tuple(_absolute(folder, name) for name in files)
    missing = [path for path in named if not os.path.isfile(path)]
    if missing:
        raise ProjectError(f"no such compose file: {', '.join(missing)}. Give files relative to {src} or absolute.")
    running = running_labels(labels, folder, named, project_name)
    found = _from_labels(running, environment) if running and (not named or _labels_usable(running)) else None
    if not named:
        chosen = found or standard_files(folder, environment)
        return replace(chosen, name=project_name or chosen.name)
    if found and _same(found.files, named):
        return replace(found, files=named, explicit=True, name=project_name or found.name)
    name = project_name or (found.name if found else None)
    # Compose's project folder is that of the first file, unless --project-directory said otherwise.
    place, env_files = (found.folder, found.env_files) if found else (os.path.dirname(named[0]), ())
    return Choice(place, named, explicit=True, name=name, env_files=env_files, warnings=_difference(found, named))


def _labels_usable(labels: Sequence[Mapping[str, str]]) -> bool:
    return all(os.path.isfile(path) for path in _latest_files(labels))


def _difference(found: Choice | None, named: Sequence[str]) -> tuple[str, ...]:
    if not found:
        return ()
    return (
        f"the containers of {found.name} were started from {', '.join(found.files)}, not from the files "
        f"that were given ({', '.join(named)}).",
    )


# The project itself


@dataclass
class Project:
    """A Compose project on this host. `files` are absolute paths in Compose's order, `src` is its working folder."""

    src: str
    files: tuple[str, ...]
    explicit: bool
    known_name: str | None = None
    env_files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    all_profiles: bool = False
    run: Runner = run_command
    _model: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The project's name as Compose knows it. Asks Compose where no container tells."""
        return self.known_name or str(self.config()["name"])

    @property
    def argv(self) -> list[str]:
        """`docker compose` with everything that selects this project, whatever the current folder is.

        `${PWD}` in a compose file is the folder that the caller is in: the project's, for whoever starts it by hand.
        """
        return self._argv(self.files)

    def _argv(self, files: Iterable[str]) -> list[str]:
        argv = ["env", f"PWD={self.src}", "docker", "compose", "--project-directory", self.src]
        if self.known_name:
            argv += ["-p", self.known_name]
        for path in self.env_files:
            argv += ["--env-file", path]
        for path in files:
            argv += ["-f", path]
        return argv

    def config(self) -> dict[str, Any]:
        """The effective configuration (`docker compose config --format json`), asked for once.

        Raises ProjectError with Compose's own words where it does not accept the project.
        """
        if self._model is None:
            for path in self.files:
                _check_readable(path)
            try:
                self._model = self._load(self.files, None)
            except ProjectError as error:
                raise _located(self.files) or error from error
        return self._model

    def check(self, changed: Mapping[str, bytes | None]) -> dict[str, Any]:
        """The effective configuration that the project would have with these texts (None: without that file).

        The changed text goes to Compose through its standard input: no file is written, so none can be left behind.
        At most one text can be checked at a time. Raises ProjectError where Compose would not accept it.
        """
        texts = {os.path.realpath(path): text for path, text in changed.items()}
        stdin: bytes | None = None
        files: list[str] = []
        for path in [*self.files, *(path for path in changed if not self._has(path))]:
            key = os.path.realpath(path)
            if key not in texts:
                files.append(path)
            elif texts[key] is not None:
                if stdin is not None:
                    raise ValueError("one changed file can be checked at a time")
                stdin = texts[key]
                files.append("-")
        return self._load(files, stdin)

    def _has(self, path: str) -> bool:
        return os.path.realpath(path) in {os.path.realpath(mine) for mine in self.files}

    def _load(self, files: Sequence[str], stdin: bytes | None) -> dict[str, Any]:
        profiles = ["--profile", "*"] if self.all_profiles else []
        done = self.run([*self._argv(files), *profiles, "config", "--format", "json"], stdin)
        if done.code == 0:
            return json.loads(done.out)
        raise ProjectError(explain(done.err.decode("utf-8", "replace"), self.files, changed=stdin is not None))

    def require(self, names: Iterable[str]) -> None:
        """Make sure that these services exist, those of inactive profiles included. Raises ProjectError."""
        wanted = list(names)
        if any(name not in self.config().get("services", {}) for name in wanted) and not self.all_profiles:
            everything = replace(self, all_profiles=True, _model=None)
            try:
                services = everything.config().get("services", {})
            except ProjectError:
                services = {}
            if all(name in services for name in wanted):
                self.all_profiles, self._model = True, everything.config()
        services = self.config().get("services", {})
        for name in wanted:
            if name not in services:
                raise ProjectError(_unknown_service(name, sorted(services), self.files))

    def fresh(self) -> Project:
        """The same project, to be looked at anew; without files that have gone."""
        return replace(self, files=tuple(path for path in self.files if os.path.isfile(path)), _model=None)


def _check_readable(path: str) -> None:
    try:
        with open(path, "rb"):
            return
    except OSError as error:
        raise ProjectError(
            f"the compose file {path} cannot be read: {error.strerror}. Run as a user that may read it (become)."
        ) from error


def _located(files: Sequence[str]) -> ProjectError | None:
    """The error with file and line where one of the files is no YAML: Compose does not say in which."""
    from ansible_collections.smallhost.headroom.plugins.module_utils.compose import edit

    for path in files:
        try:
            with open(path, "rb") as stream:
                edit.Document(stream.read(), path)
        except edit.EditError as error:
            return ProjectError(f"{error}. Nothing was changed.")
    return None


def _unknown_service(name: str, known: Sequence[str], files: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return (
        f"there is no service {name!r} in {', '.join(os.path.basename(path) for path in files)}.{hint} "
        f"Services: {', '.join(known) or 'none'}. Nothing was changed."
    )


def explain(stderr: str, files: Sequence[str], changed: bool) -> str:
    """One message out of what `docker compose config` said on its standard error."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    words = "; ".join(line for line in lines if "level=warning" not in line) or "no message"
    if "unknown command: docker compose" in words or "'compose' is not a docker command" in words:
        return (
            "the Compose plugin (docker compose, version 2) is not installed on this host. Install the package "
            "docker-compose-plugin (Docker's own repository) or docker-compose-v2 (Ubuntu), docker-compose (Debian 13)."
        )
    if "unknown shorthand flag: 'p'" in words or "unknown flag: --project-directory" in words:
        return "the Compose plugin (docker compose, version 2) is not installed on this host."
    where = ", ".join(files)
    if changed:
        return f"Compose does not accept {where} with the change: {words}. Nothing was changed."
    return f"Compose does not accept {where} as it stands, before any change: {words}. Nothing was changed."


def discover(
    src: str,
    files: Sequence[str] = (),
    project_name: str | None = None,
    run: Runner = run_command,
    labels: Sequence[Mapping[str, str]] = (),
    environment: Mapping[str, str] | None = None,
) -> Project:
    """Find the project in the folder `src`.

    `labels`: the label sets of the host's Compose containers, newest first; empty where no engine is asked.
    Raises ProjectError.
    """
    chosen = choose(src, files, project_name, labels, os.environ if environment is None else environment)
    return Project(
        src=chosen.folder,
        files=chosen.files,
        explicit=chosen.explicit,
        known_name=chosen.name,
        env_files=chosen.env_files,
        warnings=chosen.warnings,
        run=run,
    )


def target_file(project: Project, write_to: str = "auto") -> str:
    """The file that a change belongs in; it need not exist yet when it is an override file.

    `write_to` is `auto` (the override file where Compose loads one by itself, else the last of the explicit files),
    `override`, or the path of one of the project's files. Raises ProjectError where Compose would not read that file.
    """
    override = project.files[-1] if project.explicit else _standard_override(project)
    if write_to == "auto":
        return override
    if write_to == "override":
        if not project.explicit:
            return override
        named = [path for path in project.files if os.path.basename(path) in OVERRIDE_NAMES]
        if named:
            return named[-1]
        raise ProjectError(
            f"an override file would be ignored: the project uses explicit files ({', '.join(project.files)}). "
            "Use write_to: auto, which writes to the last of them."
        )
    path = _absolute(project.src, write_to)
    if os.path.realpath(path) in {os.path.realpath(mine) for mine in (*project.files, override)}:
        return path
    raise ProjectError(f"{path} is none of the files that Compose reads here ({', '.join(project.files)}).")


def _standard_override(project: Project) -> str:
    if len(project.files) > 1:
        return project.files[1]
    return os.path.join(os.path.dirname(project.files[0]), override_name(project.files[0]))
