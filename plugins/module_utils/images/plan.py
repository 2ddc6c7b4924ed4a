# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is to become of each service's image, before anything is built."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.audit import health_command
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.service import plain, words
from ansible_collections.smallhost.headroom.plugins.module_utils.images import bases, context, rewrite, shell, store

TAG = "headroom"
# What a build section may have that this module does not carry over.
_NOT_UNDERSTOOD = ("dockerfile_inline", "target", "platforms", "ssh")


@dataclass
class Service:
    """One service. `reason` says why its image is left as it is; where it is None, `text` is the new Dockerfile.

    `before` is the original's text.
    """

    name: str
    config: Mapping[str, Any]
    project: str
    dockerfile: str = ""
    written: str = ""
    before: str = ""
    recipe: rewrite.Recipe | None = None
    text: str = ""
    content: str = ""
    sources: str = ""
    reason: str | None = None
    pulled: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def section(self) -> Mapping[str, Any]:
        """The build section of the effective configuration."""
        return self.config["build"]

    @property
    def context(self) -> str:
        """The context's folder."""
        return plain(self.section["context"])

    @property
    def switched(self) -> bool:
        """Whether the project already builds it from our Dockerfile."""
        return self.written.endswith(rewrite.SUFFIX)

    @property
    def original(self) -> str:
        """The path of the original Dockerfile, as the build section writes it."""
        return self.written[: -len(rewrite.SUFFIX)] if self.switched else self.written

    @property
    def ours(self) -> str:
        """The path of our Dockerfile, as the build section writes it."""
        return self.original + rewrite.SUFFIX

    def path(self, written: str) -> str:
        """The absolute path of a Dockerfile."""
        return os.path.normpath(os.path.join(self.context, plain(written)))


def survey(model: Mapping[str, Any], names: Iterable[str], leave: Iterable[str]) -> list[Service]:
    """The services, those that are left alone with the reason. Reads no file."""
    wanted, left, found = set(names), set(leave), []
    for name, config in sorted((model.get("services") or {}).items()):
        if wanted and name not in wanted:
            continue
        service = Service(name, config or {}, str(model["name"]))
        section = service.config.get("build")
        if not section:
            service.pulled = True
        else:
            service.written = str(section.get("dockerfile") or "Dockerfile")
            service.dockerfile = service.original
            service.reason = _unsuited(service, left)
        found.append(service)
    return found


def _unsuited(service: Service, left: set[str]) -> str | None:
    if service.name in left:
        return "the operator wants it left alone"
    odd = [key for key in _NOT_UNDERSTOOD if service.section.get(key)]
    if odd:
        return f"its build section has {', '.join(odd)}"
    if not os.path.isdir(service.context):
        return f"its context {service.context} is no folder of this host"
    if service.config.get("pull_policy") in ("always", "build"):
        return f"its pull_policy is {service.config['pull_policy']}"
    return None


def arguments(section: Mapping[str, Any]) -> dict[str, str]:
    """The build's ARGs; one without a value comes from the environment and has none here."""
    given = section.get("args") or {}
    if not isinstance(given, Mapping):
        given = dict(str(entry).partition("=")[::2] for entry in given)
    return {str(name): plain(value) for name, value in given.items() if value is not None}


def read_dockerfiles(services: Sequence[Service], listed: Iterable[str], unwanted: Sequence[str]) -> None:
    """Understand each Dockerfile that is not left alone already, and give those with equal beginnings one."""
    listed = list(listed)
    for service in services:
        if service.pulled or service.reason:
            continue
        try:
            with open(service.path(service.original), encoding="utf-8") as stream:
                service.before = stream.read()
            name = os.path.basename(service.original)
            recipe = rewrite.read(service.before, name, arguments(service.section), listed, unwanted)
            service.recipe = replace(recipe, needed=_needed(service, recipe))
        except rewrite.CannotRewrite as error:
            service.reason = str(error)
        except (OSError, UnicodeDecodeError) as error:
            service.reason = f"it cannot be read: {getattr(error, 'strerror', None) or error}"
    _share([service for service in services if service.recipe])
    for service in services:
        if service.recipe:
            service.text = rewrite.write(service.recipe)


def _share(services: Sequence[Service]) -> None:
    groups: dict[str, list[Service]] = {}
    for service in services:
        key = repr((service.context, sorted(arguments(service.section).items())))
        groups.setdefault(key, []).append(service)
    for members in groups.values():
        joined = rewrite.shared([service.recipe for service in members if service.recipe])
        for service, recipe in zip(members, joined):
            service.recipe = recipe


def started(service: Service) -> list[str]:
    """The words of everything that the service's configuration starts: command, entry point, health check."""
    check = (service.config.get("healthcheck") or {}).get("test") or []
    found = words(service.config.get("command")) + words(service.config.get("entrypoint"))
    for alternative in health_command.alternatives(words(check)):
        found += alternative
    return [word for text in found for word in text.split()]


def health_programs(service: Service) -> list[str]:
    """The programs that the health check starts."""
    check = words((service.config.get("healthcheck") or {}).get("test"))
    return sorted({name for programs in health_command.alternatives(check) for name in programs})


def _needed(service: Service, recipe: rewrite.Recipe) -> tuple[str, ...]:
    """Debian packages that a full base has, the slim one lacks and the service starts programs of."""
    if recipe.base_image == recipe.final_image:
        return ()
    rules = _rules(service)
    names = context.programs_started(service.context, context.files(service.context, rules, []))
    names |= {os.path.basename(word) for word in started(service)}
    for step in recipe.steps:
        if step.source.keyword in ("CMD", "ENTRYPOINT", "HEALTHCHECK") or step.kind == "keep":
            names |= {word.strip("\"',[]();") for word in re.split(r"[\s/]+", step.source.value)}
    found = {context.PROGRAMS[name] for name in names if name in context.PROGRAMS}
    return tuple(sorted(name for name in found if not shell.build_only(name)))


def _rules(service: Service) -> list[tuple[bool, re.Pattern[str]]]:
    path = context.ignore_file(service.context, service.path(service.original))
    if not path:
        return []
    with open(path, encoding="utf-8", errors="replace") as stream:
        return context.ignore_rules(stream.read())


def hash_contents(services: Sequence[Service], apart: Iterable[str]) -> None:
    """Fill in the hash of the application's own part of each build, and that of all that the build gets.

    `apart`: files that change without being the application's.
    """
    passed = list(apart)
    for service in services:
        passed += [service.path(service.ours)] if service.written else []
    for service in services:
        if service.recipe:
            settings = {"args": sorted(arguments(service.section).items())}
            service.sources = context.content_hash(service.before, settings, service.context, _rules(service), passed)
            service.content = hashlib.sha256(f"{service.text}\0{service.sources}".encode()).hexdigest()


def apart(project_files: Iterable[str], env_files: Iterable[str], model: Mapping[str, Any]) -> list[str]:
    """What lies in a context and is no part of the application: the project's own files, what is mounted over it."""
    found = [*project_files, *env_files]
    for config in (model.get("services") or {}).values():
        for volume in (config or {}).get("volumes") or []:
            if volume.get("type") == "bind" and volume.get("source"):
                found.append(plain(volume["source"]))
        found += [
            entry["path"] if isinstance(entry, Mapping) else entry for entry in (config or {}).get("env_file") or []
        ]
    return found


def old_name(service: Service) -> str:
    """The name of the image that the service has without us."""
    written = service.config.get("image")
    return store.compose_name(service.project, service.name, plain(written) if written else None)


def pulled_note(service: Service) -> str | None:
    """What to say of an image that is only pulled."""
    image = plain(service.config.get("image") or "")
    smaller = bases.lighter(image)
    return f"{smaller} is a smaller variant of the same version (another libc: try it first)" if smaller else None
