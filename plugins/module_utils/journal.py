# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The undo journal: what was there before the first change, on the target, on disk before anything is changed.

One folder a scope (`/var/lib/headroom/<scope>`, a Compose project's name or `_host`), in it `undo.json` (mode 0600)
and `lock`. Changes are filed under an *owner*, the `undo_key` of the task that made them; what one owner changed is
undone together.

Two kinds of things are kept:

- values (a running limit, a Redis parameter, a kernel setting): the first one seen is the one that counts;
- files: a stack of layers, one for each run of writes by one owner, each with the bytes that stood before it. An owner
  whose layer is on top gets its bytes back exactly. Where another owner wrote later, or somebody edited the file in
  between, only the owner's own values are taken out, by the `inverse` that the caller passes.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import fcntl
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import atomic_file

UNDO_ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "undo_key": {"type": "str", "no_log": False},
    "state_dir": {"type": "path", "default": "/var/lib/headroom"},
    "lock_timeout": {"type": "int", "default": 30},
}

_VERSION = 1
_LOCK_POLL_SECONDS = 0.2


class JournalError(Exception):
    """The journal cannot be read or belongs to a newer version of the collection."""


class JournalBusy(JournalError):
    """Another run holds the scope. `pid` is that run's process, or None where it did not say."""

    def __init__(self, scope: str, waited: float, pid: int | None) -> None:
        self.pid = pid
        self.seconds = waited
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{who} is changing {scope!r} and did not finish within {waited:.0f} seconds. Nothing was changed. "
            "Wait for it to end, or raise lock_timeout."
        )


def _digest(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()


def _encode(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode("ascii")


def _decode(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


class Journal:
    """The journal of one scope. Use it inside `with journal.locked():`; after `read_only()` it must not be changed."""

    def __init__(self, scope: str, root: str = "/var/lib/headroom") -> None:
        if not scope or "/" in scope or scope.startswith("."):
            raise JournalError(f"{scope!r} cannot name a journal: it must be a plain name without a slash.")
        self.scope = scope
        self.folder = os.path.join(root, scope)
        self.path = os.path.join(self.folder, "undo.json")
        self._values: dict[str, dict[str, Any]] = {}
        self._files: dict[str, list[dict[str, Any]]] = {}

    # Reading and locking

    def read_only(self) -> Journal:
        """Load without a lock, for check mode. Raises JournalError where the file is damaged."""
        data = atomic_file.read(self.path)
        if data is None:
            self._values, self._files = {}, {}
            return self
        try:
            stored = json.loads(data)
            version = stored["version"]
            self._values, self._files = stored["values"], stored["files"]
        except (ValueError, KeyError, TypeError) as error:
            raise JournalError(
                f"the undo journal {self.path} is damaged ({error}). Nothing was changed. Move it away to go on "
                "without the possibility to undo earlier runs."
            ) from error
        if version != _VERSION:
            raise JournalError(f"the undo journal {self.path} has version {version}; this collection reads {_VERSION}.")
        return self

    @contextlib.contextmanager
    def locked(self, wait: float = 30.0) -> Iterator[Journal]:
        """Hold the scope for one run and load the journal. `wait` is in seconds.

        Raises JournalBusy where another run keeps it, JournalError where the journal is damaged, OSError where the
        folder cannot be written.
        """
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        handle = os.open(os.path.join(self.folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(handle, wait)
            atomic_file.sweep(self.path)
            yield self.read_only()
            self._tidy()
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def opened(self, check_mode: bool, wait: float) -> Iterator[Journal]:
        """Load the journal for a task: only read in check mode, which changes nothing, else as `locked` does."""
        if check_mode:
            yield self.read_only()
            return
        with self.locked(wait):
            yield self

    def _acquire(self, handle: int, wait: float) -> None:
        end = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    holder = os.pread(handle, 20, 0).strip()
                    raise JournalBusy(self.scope, wait, int(holder) if holder.isdigit() else None) from None
                time.sleep(_LOCK_POLL_SECONDS)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode("ascii"), 0)

    def _tidy(self) -> None:
        """Leave no empty journal behind. The lock file stays: removing it would let two runs hold two locks."""
        if not self._values and not self._files:
            atomic_file.remove(self.path)

    def _save(self) -> None:
        stored = {"version": _VERSION, "scope": self.scope, "values": self._values, "files": self._files}
        atomic_file.replace(self.path, json.dumps(stored, indent=1, sort_keys=True).encode("utf-8") + b"\n", mode=0o600)

    # Values

    def remember(self, owner: str, key: str, before: Any) -> bool:
        """File what `key` was before; the first one counts. True where it was new. On disk when this returns."""
        values = self._values.setdefault(owner, {})
        if key in values:
            return False
        values[key] = before
        self._save()
        return True

    def recall(self, owner: str, key: str) -> Any:
        """What `key` was before this owner's first change, or None."""
        return self._values.get(owner, {}).get(key)

    def owned(self, owner: str) -> dict[str, Any]:
        """All values filed under this owner: key to value before."""
        return dict(self._values.get(owner, {}))

    def held(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """All that is filed: values by owner, and layers by file. For reading only."""
        return self._values, self._files

    def forget(self, owner: str, key: str) -> None:
        """Drop a value that has been put back."""
        values = self._values.get(owner, {})
        if key not in values:
            return
        del values[key]
        if not values:
            del self._values[owner]
        self._save()

    # Files

    def files(self, owner: str) -> list[str]:
        """The files that this owner has written and not undone."""
        return sorted(path for path, layers in self._files.items() if any(la["owner"] == owner for la in layers))

    def write_file(
        self, owner: str, path: str, data: bytes | None, mode: int | None = None, in_place: bool = False
    ) -> None:
        """Write the file (None deletes it) after filing the bytes that stand there now.

        `mode` is given to a new file only. `in_place` keeps the inode (see atomic_file.overwrite), now and when it is
        undone. Raises OSError; the file is then as it was.
        """
        path = os.path.realpath(path)
        current = atomic_file.read(path)
        if current == data:
            return
        layers = self._files.setdefault(path, [])
        top = layers[-1] if layers else None
        if top and top["owner"] == owner and _digest(current) in (top["before_digest"], *top["after_digests"]):
            # The digest of the text that is being replaced stays: a run may be killed between here and the rename.
            top["after_digests"] = [_digest(current), _digest(data)]
        else:
            layers.append({**self._layer(owner, path, current, data), "in_place": in_place})
        self._save()
        self._put(path, data, mode if current is None else None, in_place=in_place)

    @staticmethod
    def _layer(owner: str, path: str, before: bytes | None, after: bytes | None) -> dict[str, Any]:
        attributes = None
        if before is not None:
            status = os.stat(path)
            attributes = {"mode": stat.S_IMODE(status.st_mode), "uid": status.st_uid, "gid": status.st_gid}
        return {
            "owner": owner,
            "before": _encode(before),
            "before_digest": _digest(before),
            "after_digests": [_digest(after)],
            "attributes": attributes,
        }

    def _put(
        self,
        path: str,
        data: bytes | None,
        mode: int | None = None,
        owner: tuple[int, int] | None = None,
        in_place: bool = False,
    ) -> None:
        if data is None:
            atomic_file.remove(path)
        elif in_place:
            atomic_file.overwrite(path, data)
        else:
            atomic_file.replace(path, data, mode=mode, owner=owner)

    def undo_file(self, owner: str, path: str, inverse: Callable[[bytes], bytes | None]) -> str:
        """Take this owner's changes out of the file.

        "restored": the exact bytes from before this owner's first write are back. "values": the file had been changed
        by somebody else in between, or another owner wrote later, so `inverse` (text with the owner's changes ->
        text without, or None where nothing is left) was applied to what stands there now. "nothing": the owner has no
        changes in this file.
        Raises OSError, and whatever `inverse` raises; nothing is changed then.
        """
        path = os.path.realpath(path)
        layers = self._files.get(path, [])
        mine = [index for index, layer in enumerate(layers) if layer["owner"] == owner]
        if not mine:
            return "nothing"
        current = atomic_file.read(path)
        top = layers[-1]
        if mine == [len(layers) - 1] and _digest(current) in (top["before_digest"], *top["after_digests"]):
            self._restore(path, current, layers.pop())
            outcome = "restored"
        else:
            self._rebase(path, current, layers, mine[0], owner, inverse)
            outcome = "values"
        if not layers:
            del self._files[path]
        self._save()
        return outcome

    def preview_undo(self, owner: str, path: str, inverse: Callable[[bytes], bytes | None]) -> tuple[str, bytes | None]:
        """What `undo_file` would return, and the bytes it would leave (None: no file). Changes nothing: check mode."""
        trial = _Trial(self, os.path.realpath(path))
        return trial.undo_file(owner, path, inverse), trial.text

    def _restore(self, path: str, current: bytes | None, layer: dict[str, Any]) -> None:
        before = _decode(layer["before"])
        if before != current:
            attributes = layer["attributes"] or {}
            owner = (attributes["uid"], attributes["gid"]) if attributes else None
            self._put(path, before, attributes.get("mode"), owner, layer.get("in_place", False))

    def _rebase(
        self,
        path: str,
        current: bytes | None,
        layers: list[dict[str, Any]],
        lowest: int,
        owner: str,
        inverse: Callable[[bytes], bytes | None],
    ) -> None:
        """Take one owner out from under the others, whose own "before" must then no longer show its values."""
        below = _decode(layers[lowest]["before"])

        def without(text: bytes) -> bytes | None:
            cleaned = inverse(text)
            return below if cleaned is None else cleaned

        followers = [*(layer["before_digest"] for layer in layers[1:]), _digest(current)]
        intact = [after in layer["after_digests"] for layer, after in zip(layers, followers)]
        new = None if current is None else without(current)
        for layer in layers[lowest + 1 :]:
            before = _decode(layer["before"])
            if before is not None and layer["owner"] != owner:
                cleaned = without(before)
                layer["before"], layer["before_digest"] = _encode(cleaned), _digest(cleaned)
        follower, unbroken = _digest(new), True
        for layer, link in zip(reversed(layers), reversed(intact)):
            unbroken = unbroken and link
            if layer["owner"] == owner:
                continue
            if unbroken:
                # The last digest is that of the text about to be replaced: the run may be killed before it is.
                layer["after_digests"] = [follower, _digest(current)]
            follower, unbroken = layer["before_digest"], True
        in_place = any(layer.get("in_place") for layer in layers)
        layers[:] = [layer for layer in layers if layer["owner"] != owner]
        if new != current:
            self._put(path, new, in_place=in_place)


class _Trial(Journal):
    """A copy of a journal that only notes what it would write."""

    def __init__(self, journal: Journal, path: str) -> None:
        super().__init__(journal.scope, os.path.dirname(journal.folder))
        self._files = copy.deepcopy(journal._files)
        self.text = atomic_file.read(path)

    def _save(self) -> None:
        """Nothing is kept."""

    def _put(
        self,
        path: str,
        data: bytes | None,
        mode: int | None = None,
        owner: tuple[int, int] | None = None,
        in_place: bool = False,
    ) -> None:
        self.text = data
