# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an audit has to know of containers, images and the kernel beside what they use. Everything is only read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.audit import health_command
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container, Engine
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel import settings as kernel

# What compiles: the C and C++ compilers under their usual names, Rust's and Go's.
COMPILERS = ("gcc", "g++", "cc", "clang", "rustc", "go")

# Symbolic links followed for one program (/usr/bin/cc -> /etc/alternatives/cc -> /usr/bin/gcc).
_MOST_LINKS = 5

SETTINGS = ("vm.swappiness", "vm.overcommit_memory")


def exists(engine: Engine, container: Container, path: str) -> bool:
    """Whether a container has this file, links followed, asked of the engine: its shell is not needed, nothing runs."""
    for _link in range(_MOST_LINKS):
        found = engine.path_stat(container, path)
        if found is None:
            return False
        target = str(found.get("linkTarget") or "")
        if not target or target == path:
            return True
        path = target
    return False


def _environment(container: Container) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in container.data["Config"].get("Env") or [])
    return {name: value for name, _equals, value in pairs}


class Images:
    """What is known of images and of programs in containers, each asked for once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._compilers: dict[str, list[str]] = {}
        self._sizes: dict[str, int | None] = {}

    def size(self, container: Container) -> int | None:
        """Bytes of the container's image, None where it is gone."""
        image = str(container.data.get("Image") or "")
        if image not in self._sizes:
            self._sizes[image] = self._engine.image(image).get("Size")
        return self._sizes[image]

    def has(self, container: Container, program: str) -> bool:
        """Whether the container finds the program."""
        config = container.data["Config"]
        listed = health_command.places(program, _environment(container).get("PATH"), config.get("WorkingDir"))
        return any(exists(self._engine, container, path) for path in listed)

    def compilers(self, container: Container) -> list[str]:
        """The compilers on the container's PATH."""
        image = str(container.data.get("Image") or "")
        if image not in self._compilers:
            self._compilers[image] = [name for name in COMPILERS if self.has(container, name)]
        return self._compilers[image]

    def missing(self, container: Container, programs: list[list[str]]) -> list[str]:
        """Programs of a health check that the container lacks; none where it went away meanwhile."""
        lacking = health_command.missing(programs, lambda program: self.has(container, program))
        return lacking if lacking and exists(self._engine, container, "/") else []

    def facts(self, container: Container) -> dict[str, Any]:
        """What the rules on containers and images look at. Raises EngineError."""
        config, host = container.data["Config"], container.host_config
        log = host.get("LogConfig") or {}
        check = config.get("Healthcheck") or {}
        programs = health_command.alternatives(check.get("Test") or [], config.get("Shell") or ())
        return {
            "argv": container.argv,
            "web_concurrency": _environment(container).get("WEB_CONCURRENCY"),
            "restart_policy": (host.get("RestartPolicy") or {}).get("Name") or "no",
            "log_driver": log.get("Type"),
            "log_max_size": _bound((log.get("Config") or {}).get("max-size")),
            "image": config.get("Image"),
            "image_size": self.size(container),
            "health_missing": self.missing(container, programs),
            "compilers": self.compilers(container),
        }


def _bound(max_size: str | None) -> str | None:
    """-1 is the driver's word for no bound (moby, loggerutils/logfile.go)."""
    return None if max_size in (None, "", "-1") else max_size


def settings(root: str = "/") -> Mapping[str, str | None]:
    """The kernel's values that the rules look at, under their names; None where this kernel has no such setting."""
    tree = kernel.LiveTree(root)
    found = {name: tree.read(kernel.setting_entry(name)) for name in SETTINGS}
    return {**found, "transparent_hugepage": tree.read(kernel.THP_ENTRIES["enabled"])}
