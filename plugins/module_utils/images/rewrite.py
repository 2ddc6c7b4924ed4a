# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a Dockerfile with one stage to one with two: what only building needs stays in the first.

The first stage is the original up to its last installation, word for word. The final stage is the original from the
beginning, in its order, but what each installation made is fetched from the first stage, and Debian packages that
serve only building are not installed. So every file is where it was, and settings need no thought: they are the
original's own lines. What is not understood is refused.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.smallhost.headroom.plugins.module_utils.images import bases, collector, shell
from ansible_collections.smallhost.headroom.plugins.module_utils.images.dockerfile import (
    DockerfileError,
    Instruction,
    assignments,
    parse,
    substitute,
)

MARK = "# Made by the Ansible collection smallhost.headroom from "
STAGE_LABEL = "smallhost.headroom.stage"
HASH_LABEL = "smallhost.headroom.content"
SOURCES_LABEL = "smallhost.headroom.sources"
SUFFIX = ".headroom"

_STAGE = "headroom-build"
_NOTES = "/" + collector.NOTES
# Has no effect on what is built, or (VOLUME) would lose it.
_NOT_BUILDING = ("CMD", "ENTRYPOINT", "EXPOSE", "HEALTHCHECK", "LABEL", "MAINTAINER", "STOPSIGNAL", "VOLUME")
_INSTALL = "apt-get install -y --no-install-recommends"
# Debian's own images keep no package cache; others do.
_LISTS = "rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin"


class CannotRewrite(ValueError):
    """A Dockerfile that is left alone. The text says why, in words that go after "it is left alone: "."""


@dataclass(frozen=True)
class Step:
    """One instruction after FROM. `kind`: keep, apt, install (of Python packages, compiling), both (apt as well).

    `commands`: those of its chain; of an install only those that the final stage does again.
    """

    kind: str
    source: Instruction
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A Dockerfile with one stage, understood."""

    name: str
    syntax: str | None
    head: tuple[Instruction, ...]
    base: Instruction
    base_image: str
    final_image: str
    steps: tuple[Step, ...]
    alias: str | None = None
    needed: tuple[str, ...] = ()
    listed: frozenset[str] = field(default_factory=frozenset)
    unwanted: tuple[str, ...] = ()

    @property
    def last(self) -> int:
        """The index of the last installation."""
        return max(index for index, step in enumerate(self.steps) if step.kind in ("install", "both"))


def read(
    text: str,
    name: str,
    arguments: Mapping[str, str] | None = None,
    listed: Iterable[str] = (),
    unwanted: Sequence[str] = (),
) -> Recipe:
    """Understand a Dockerfile.

    `arguments`: the values of its ARGs; `listed`: Debian packages that the operator says only building needs;
    `unwanted`: requirements that the operator wants left out. Raises CannotRewrite.
    """
    try:
        file = parse(text)
    except DockerfileError as error:
        raise CannotRewrite(str(error)) from error
    if len(file.stages) != 1:
        raise CannotRewrite("it has several stages already" if file.stages else "it has no FROM")
    place = file.instructions.index(file.stages[0])
    head, base = file.instructions[:place], file.instructions[place]
    image, alias = _base(base, head, arguments or {})
    steps = tuple(_step(entry) for entry in file.instructions[place + 1 :])
    recipe = Recipe(
        name, file.directives.get("syntax"), head, base, image, bases.slim(image) or image, steps, alias,
        listed=frozenset(listed), unwanted=tuple(unwanted),
    )  # fmt: skip
    _require_debian(recipe)
    if not any(step.kind in ("install", "both") for step in steps):
        raise CannotRewrite("nothing in it installs Python packages or compiles")
    return recipe


def _base(base: Instruction, head: Sequence[Instruction], given: Mapping[str, str]) -> tuple[str, str | None]:
    values = {}
    for entry in head:
        if entry.keyword == "ARG":
            for name, default in assignments(entry.value):
                value = given.get(name, default)
                if value is not None:
                    values[name] = value
    try:
        words = substitute(base.argument, values).split()
    except DockerfileError as error:
        raise CannotRewrite(f"line {base.line}: {error}") from error
    return words[0], words[2] if len(words) == 3 and words[1].upper() == "AS" else None


def _require_debian(recipe: Recipe) -> None:
    image = recipe.base_image
    if re.search(r"alpine|nanoserver|windows", image) or image == "scratch":
        raise CannotRewrite(f"its base {image} is not Debian's kind of system")
    if not bases.is_python(image) and not any(step.kind in ("apt", "both") for step in recipe.steps):
        raise CannotRewrite(f"its base {image} is not known to be a Debian with Python")


def _step(entry: Instruction) -> Step:
    if entry.keyword == "ONBUILD":
        raise CannotRewrite(f"line {entry.line}: it has ONBUILD, which acts in images built on it")
    if entry.keyword != "RUN":
        return Step("keep", entry)
    text = " ".join(entry.words) if entry.words else entry.argument
    manager = shell.other_packages(text)
    if manager:
        raise CannotRewrite(f"line {entry.line}: it installs with {manager}")
    chain = None if entry.words else shell.commands(text)
    parts = chain if chain is not None else re.split(r"[;&|]+", text)
    works = [part for part in parts if not shell.uses_apt(part)]
    makes = any(_makes(part) for part in works)
    apt = any(shell.apt_install(part.strip()) for part in parts)
    if chain and all(shell.is_housekeeping(part) for part in chain):
        return Step("apt", entry, tuple(chain))
    if makes and apt:
        if chain is None or any(shell.is_stateful(part) for part in chain):
            raise CannotRewrite(
                f"line {entry.line}: one RUN installs Debian packages and builds, in a shell text that cannot be "
                "taken apart (write it as a chain of &&)"
            )
        return Step("both", entry, tuple(chain))
    if makes:
        return Step("install", entry, _done_again(entry, chain, parts))
    if apt and chain is not None and not any(shell.is_stateful(part) for part in chain):
        return Step("apt", entry, tuple(chain))
    return Step("keep", entry)


def _makes(command: str) -> bool:
    return shell.installs(command) or shell.compiles(command)


def _done_again(entry: Instruction, chain: Sequence[str] | None, parts: Sequence[str]) -> tuple[str, ...]:
    """What an installation sets up beside its files, which alone are fetched: owners, modes, accounts, folders."""
    makes = [index for index, part in enumerate(parts) if _makes(part) and not shell.only_sets_up(part)]
    sets_up = [index for index, part in enumerate(parts) if shell.sets_up(part)]
    if chain is not None and not {*makes} & {*sets_up} and not any(shell.is_stateful(part) for part in chain):
        return tuple(shell.done_again(chain[index]) for index in sets_up)
    if any(shell.compiles(parts[index]) for index in makes):
        sets_up = [index for index in sets_up if index > makes[-1] or not shell.serves_compiling(parts[index])]
    if sets_up:
        raise CannotRewrite(
            f"line {entry.line}: one RUN installs and sets up owners, modes, accounts or folders, in a shell text that "
            "cannot be taken apart (give chown, mkdir and the like a RUN of their own)"
        )
    return ()


# One shared base for services with the same requirements


def shared(recipes: Sequence[Recipe]) -> list[Recipe]:
    """The same recipes, with one beginning for all that install the same: the layers up to there are then shared.

    They may differ in Debian packages and in a full or slim base: all get what any of them has.
    """
    groups: dict[object, list[int]] = {}
    for index, recipe in enumerate(recipes):
        key = _beginning(recipe)
        groups.setdefault(index if key is None else key, []).append(index)
    found = list(recipes)
    for members in groups.values():
        if len(members) > 1:
            for index, joined in zip(members, _united([recipes[index] for index in members])):
                found[index] = joined
    return found


def _beginning(recipe: Recipe) -> object:
    """What has to be equal; None for a beginning that cannot be shared."""
    steps = recipe.steps[: recipe.last + 1]
    if any(step.kind == "apt" and not _only_packages(step) for step in steps):
        return None
    return (
        recipe.final_image,
        recipe.syntax,
        recipe.unwanted,
        recipe.listed,
        tuple(entry.value for entry in recipe.head),
        tuple((step.source.keyword, step.source.value) for step in steps if step.kind != "apt"),
    )


def _only_packages(step: Step) -> bool:
    return all(shell.apt_install(part) or shell.is_housekeeping(part) for part in step.commands)


def _united(recipes: Sequence[Recipe]) -> list[Recipe]:
    """The recipes with the beginning of one of them, which has the Debian packages of all."""
    installs = [(recipe, step, found) for recipe in recipes for step, found in _apt_installs(recipe)]
    packages = dict.fromkeys(name for _recipe, _step, found in installs for name in found.packages)
    leader, first, parts = installs[0] if installs else (recipes[0], None, None)
    beginning = []
    for step in leader.steps[: leader.last + 1]:
        if parts and step is first:
            beginning.append(_with_packages(step, parts.words, list(packages)))
        elif step.kind != "apt" or not installs:
            beginning.append(step)
    full = next((entry for entry in recipes if entry.base_image != entry.final_image), leader)
    needed = tuple(dict.fromkeys(name for recipe in recipes for name in recipe.needed))
    return [
        replace(
            recipe,
            base=full.base,
            base_image=full.base_image,
            needed=needed,
            steps=(*beginning, *recipe.steps[recipe.last + 1 :]),
        )
        for recipe in recipes
    ]


def _apt_installs(recipe: Recipe) -> list[tuple[Step, shell.AptInstall]]:
    """The instructions of the beginning that install Debian packages and no more."""
    steps = [step for step in recipe.steps[: recipe.last + 1] if step.kind == "apt"]
    found = [(step, shell.apt_install(part)) for step in steps for part in step.commands]
    return [(step, parts) for step, parts in found if parts]


def _with_packages(step: Step, words: Sequence[str], packages: Sequence[str]) -> Step:
    commands = ("apt-get update", " ".join([*words, *packages]), _LISTS)
    source = replace(step.source, value=" && ".join(commands), text=shell.joined(commands))
    return Step("apt", source, commands)


# Writing


def write(recipe: Recipe) -> str:
    """The Dockerfile with two stages."""
    top = [f"# syntax={recipe.syntax}"] if recipe.syntax else []
    top += [f"{MARK}{recipe.name}, which stays as it is.", "# Change that one: this file is made from it again."]
    return "\n".join([*top, "", *_build_stage(recipe), "", *_final_stage(recipe)]) + "\n"


def _from(recipe: Recipe, image: str, alias: str | None) -> str:
    options = "".join(f"--{name}={value} " for name, value in recipe.base.options.items())
    return f"FROM {options}{image}" + (f" AS {alias}" if alias else "")


def _build_stage(recipe: Recipe) -> list[str]:
    body = _build_steps(recipe)
    beginning = hashlib.sha256("\n".join(body).encode()).hexdigest()[:12]
    lines = [entry.text for entry in recipe.head]
    lines += [_from(recipe, recipe.base_image, _STAGE), f"LABEL {STAGE_LABEL}={beginning}", _collector(), ""]
    return lines + body


def _build_steps(recipe: Recipe) -> list[str]:
    lines: list[str] = []
    number = 0
    for step in recipe.steps[: recipe.last + 1]:
        if step.source.keyword in _NOT_BUILDING:
            continue
        if step.kind not in ("install", "both"):
            lines.append(step.source.text)
            continue
        number += 1
        arguments = " ".join(["after", str(number), *_development(recipe)])
        lines.append("RUN python3 /headroom/collect.py before")
        lines += _without_unwanted(recipe, step)
        lines += [step.source.text, f"RUN python3 /headroom/collect.py {arguments}"]
    return lines


def _collector() -> str:
    """The instruction that writes the collector, so that the Dockerfile needs no file beside it."""
    source = [line for line in inspect.getsource(collector).rstrip().split("\n") if not line.startswith("#")]
    while not source[0]:
        source.pop(0)
    quoted = " \\\n".join(f"    '{line}'" for line in source)
    begin = "RUN mkdir -p /headroom && chmod 777 /headroom && printf '%s\\n' \\\n"
    return f"{begin}{quoted} \\\n    > /headroom/collect.py"


def _development(recipe: Recipe) -> list[str]:
    found: list[str] = []
    for step in recipe.steps[: recipe.last + 1]:
        for part in step.commands:
            parts = shell.apt_install(part)
            for package in parts.packages if parts else ():
                name = re.split(r"[=/:]", package)[0]
                if name.endswith("-dev") and name not in found:
                    found.append(name)
    return found


def _without_unwanted(recipe: Recipe, step: Step) -> list[str]:
    """Take requirements out of the files that this installation reads; in this stage only."""
    files = shell.requirement_files(step.source.argument)
    if not recipe.unwanted or not files:
        return []
    names = "|".join(re.sub(r"[-_.]+", "[-_.]+", name) for name in recipe.unwanted)
    return [f"RUN sed -i -E '/^({names})([^A-Za-z0-9._-]|$)/Id' {' '.join(files)}"]


def _final_stage(recipe: Recipe) -> list[str]:
    lines = [_from(recipe, recipe.final_image, recipe.alias)]
    if recipe.needed:
        lines.append(shell.joined(["apt-get update", f"{_INSTALL} {' '.join(recipe.needed)}", _LISTS]))
    user, number, given_away = "root", 0, False
    for index, step in enumerate(recipe.steps):
        if step.source.keyword == "USER":
            user = step.source.argument
        if step.kind in ("install", "both"):
            number += 1
            given_away = given_away or not _is_root(user)
            lines += [*(_apt_part(recipe, step) if step.kind == "both" else []), _fetched(number, user)]
            if step.kind == "install" and step.commands:
                lines.append(shell.joined(step.commands))
            if not _followed(recipe, index):
                lines += _with_libraries(user, given_away)
        elif step.kind == "apt":
            lines += _apt_part(recipe, step)
        else:
            lines.append(step.source.text)
    return lines


def _apt_part(recipe: Recipe, step: Step) -> list[str]:
    """What the final stage still does of a RUN with apt in it; nothing where only building needed it."""
    parts, useful, fetches = [], False, False
    for part in step.commands:
        found = shell.apt_install(part)
        if found:
            kept = [name for name in found.packages if not shell.build_only(name, recipe.listed)]
            if kept:
                # The lists may have come with an instruction of their own, which is not in this stage.
                parts += [] if fetches else ["apt-get update"]
                parts.append(" ".join([*found.words, *kept]))
                useful = fetches = True
        elif not (shell.is_housekeeping(part) or shell.installs(part) or shell.compiles(part)):
            parts.append(part)
            useful = useful or not part.startswith("set ")
    if not useful:
        return []
    return [shell.joined([*parts, _LISTS] if fetches else parts)]


def _followed(recipe: Recipe, index: int) -> bool:
    """Whether the next RUN after this step is another installation, which can bring the libraries of both."""
    following = (step for step in recipe.steps[index + 1 :] if step.source.keyword == "RUN")
    step = next(following, None)
    return step is not None and step.kind in ("install", "both")


def _is_root(user: str) -> bool:
    return user.partition(":")[0] in ("root", "0")


def _fetched(number: int, user: str) -> str:
    chown = "" if _is_root(user) else f"--chown={user} "
    return f"COPY --from={_STAGE} {chown}/headroom/{number}/ /"


def _with_libraries(user: str, given_away: bool) -> list[str]:
    """Install the Debian packages of the shared libraries that were found to be needed and are not there.

    `given_away`: what was fetched belongs to a user that is not root, folders of the system on the way to it too.
    """
    check = f'for name in $(cat {_NOTES}/packages); do dpkg -s "$name" > /dev/null 2>&1 || echo "$name"; done'
    install = f'if [ -n "$missing" ]; then apt-get update && {_INSTALL} $missing && {_LISTS}; fi'
    give_back = f'while read -r owner path; do chown "$owner" "$path"; done < {_NOTES}/folders'
    run = shell.joined([f"missing=$({check})", install, "ldconfig", *([give_back] if given_away else [])])
    return [run] if _is_root(user) else ["USER root", run, f"USER {user}"]
