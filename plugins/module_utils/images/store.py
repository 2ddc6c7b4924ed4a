# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images and passing containers of this host's engine, through its API (docs.docker.com/reference/api/engine)."""

from __future__ import annotations

import http
import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ansible_collections.smallhost.headroom.plugins.module_utils import unix_http
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Engine, EngineError

_SECONDS = 120
_LOG_LINES = "400"


class ImageStore:
    """What an engine can be asked about images. Raises EngineError where it refuses."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._path = engine.host[len("unix://") :]

    def _ask(
        self, method: str, url: str, query: Mapping[str, str] | None = None, body: Any = None
    ) -> tuple[Mapping[str, str], bytes]:
        try:
            headers, data = unix_http.request(self._path, method, url, query, body, _SECONDS)
        except unix_http.HttpError as error:
            raise _Refused(error.status, f"the Docker engine refused {method} {url}: {error}") from error
        except OSError as error:
            raise EngineError(f"the Docker engine did not answer {method} {url}: {error}") from error
        return dict(headers.items()), data

    def has_buildkit(self) -> bool:
        """Whether the engine itself says that BuildKit is its builder (`Builder-Version` of its ping)."""
        headers, _body = self._ask("GET", "/_ping")
        return {name.lower(): value for name, value in headers.items()}.get("builder-version") == "2"

    def free_bytes(self) -> int | None:
        """Free bytes where the engine keeps its images, or None where that folder cannot be looked at."""
        root = json.loads(self._ask("GET", "/info")[1]).get("DockerRootDir") or ""
        try:
            status = os.statvfs(root)
        except OSError:
            return None
        return status.f_bavail * status.f_frsize

    def image(self, name: str) -> dict[str, Any]:
        """`docker image inspect`; empty where there is none."""
        return self.engine.image(name)

    def image_id(self, name: str) -> str | None:
        """The id behind a name."""
        found = self.image(name).get("Id")
        return str(found) if found else None

    def history(self, name: str) -> list[dict[str, Any]]:
        """The image's layers, the newest first."""
        return list(json.loads(self._ask("GET", f"/images/{quote(name, safe='')}/history")[1]))

    def tag(self, image: str, name: str) -> None:
        """Give an image one more name."""
        repository, _colon, tag = split_name(name)
        self._ask("POST", f"/images/{quote(image, safe='')}/tag", {"repo": repository, "tag": tag})

    def remove(self, name: str) -> bool:
        """Take a name off an image, and the image with its last one. False where it is gone, or in use."""
        try:
            self._ask("DELETE", f"/images/{quote(name, safe='')}")
        except _Refused as error:
            if error.status in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.CONFLICT):
                return False
            raise
        return True

    def dangling(self, label: str) -> list[dict[str, Any]]:
        """The images without a name that have this label, the newest first."""
        filters = json.dumps({"dangling": ["true"], "label": [label]})
        found = list(json.loads(self._ask("GET", "/images/json", {"filters": filters})[1]))
        return sorted(found, key=lambda entry: entry.get("Created", 0), reverse=True)

    def prune_cache(self, older_than_hours: int, keep_bytes: int) -> int:
        """Drop BuildKit's cache that nobody used for so long, down to `keep_bytes`; returns the bytes freed."""
        query = {"keep-storage": str(keep_bytes), "filters": json.dumps({"until": [f"{older_than_hours}h"]})}
        try:
            answer = json.loads(self._ask("POST", "/build/prune", query)[1] or b"{}")
        except _Refused:
            return 0
        return int(answer.get("SpaceReclaimed") or 0)

    # Containers that live as long as a trial

    def create(self, body: Mapping[str, Any]) -> str:
        """Make a container; returns its id."""
        return str(json.loads(self._ask("POST", "/containers/create", body=dict(body))[1])["Id"])

    def start(self, container: str) -> None:
        """Start it."""
        self._ask("POST", f"/containers/{container}/start")

    def state(self, container: str) -> dict[str, Any]:
        """Its `State`."""
        return dict(json.loads(self._ask("GET", f"/containers/{container}/json")[1])["State"])

    def logs(self, container: str) -> str:
        """The end of what it wrote."""
        query = {"stdout": "1", "stderr": "1", "tail": _LOG_LINES}
        return unframed(self._ask("GET", f"/containers/{container}/logs", query)[1]).decode("utf-8", "replace")

    def discard(self, container: str) -> None:
        """Remove it with its anonymous volumes, running or not; one that is gone already is fine."""
        try:
            self._ask("DELETE", f"/containers/{container}", {"force": "1", "v": "1"})
        except _Refused as error:
            if error.status not in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.CONFLICT):
                raise


class _Refused(EngineError):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def split_name(name: str) -> tuple[str, str, str]:
    """`host:5000/app:1` -> (`host:5000/app`, `:`, `1`); the tag is `latest` where none is named."""
    folder, slash, last = name.rpartition("/")
    repository, colon, tag = last.partition(":")
    return folder + slash + repository, ":", tag if colon else "latest"


def unframed(data: bytes) -> bytes:
    """The text of a log whose pieces have the engine's headers of eight bytes; of a terminal's log: as it is."""
    found, rest = [], data
    while len(rest) >= 8 and rest[0] in (0, 1, 2) and rest[1:4] == b"\0\0\0":
        size = int.from_bytes(rest[4:8], "big")
        found.append(rest[8 : 8 + size])
        rest = rest[8 + size :]
    return b"".join(found) + rest


def compose_name(project: str, service: str, written: str | None) -> str:
    """The name of a built service's image: the written one, else Compose's own."""
    return written or f"{project}-{service}"


def of_ours(name: str, tag: str) -> str:
    """The name under which the smaller twin of an image is kept: app -> app:headroom, app:1.2 -> app:1.2-headroom."""
    repository, _colon, old = split_name(name)
    return f"{repository}:{tag}" if old == "latest" else f"{repository}:{old}-{tag}"
