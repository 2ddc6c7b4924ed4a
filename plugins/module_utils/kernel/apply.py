# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carrying a plan over kernel settings out, all of it or nothing, and reading what it needs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping

from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel import drop_in
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.plan import Plan
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.settings import (
    KernelError,
    LiveTree,
    beside,
    same_value,
    write_order,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.sysctl_d import (
    SYSCTL_FOLDERS,
    read_config,
    read_folders,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.task import Observed, Request
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.tmpfiles_d import (
    TMPFILES_FOLDERS,
    hugepage_file,
)

# Keys in the journal: a live value, and a folder that had to be made. The path has the root in it, so that images and
# the running host can share one journal.
_LIVE, _FOLDER = "live:", "folder:"
_PASSES = 2


def canonical_file(root: str, path: str) -> str:
    """`path` with links in its folder resolved, still without the root. Raises KernelError where it is a link."""
    real = os.path.join(root, path.lstrip("/"))
    if os.path.islink(real) and os.path.realpath(real) != "/dev/null":
        raise KernelError(f"{path} is a link to {os.readlink(real)}. Nothing was changed. Give the file itself.")
    folder = os.path.realpath(os.path.dirname(real))
    inside = os.path.relpath(folder, root)
    return path if inside.startswith("..") else os.path.normpath(f"/{inside}/{os.path.basename(path)}")


def _originals(tree: LiveTree, journal: Journal, owner: str) -> dict[str, str]:
    prefix = _LIVE + os.path.join(tree.root, "")
    return {key[len(prefix) :]: value for key, value in journal.owned(owner).items() if key.startswith(prefix)}


def _owned_files(tree: LiveTree, journal: Journal, owner: str) -> list[str]:
    prefix = os.path.join(tree.root, "")
    return ["/" + path[len(prefix) :] for path in journal.files(owner) if path.startswith(prefix)]


def observe(request: Request, tree: LiveTree, journal: Journal) -> Observed:
    """Read all that the decision needs. Raises OSError for what cannot be read."""
    originals = _originals(tree, journal, request.owner)
    touched = [item.entry for item in request.wanted] + list(originals)
    entries = [entry for entry in dict.fromkeys(touched) if tree.holds(entry)]
    access = {entry: tree.access(entry) for entry in entries}
    shown = [*entries, *(other for entry in entries for other in beside(entry))]
    live = {entry: tree.read(entry) for entry in dict.fromkeys(shown) if access.get(entry) != "action"}
    owned = _owned_files(tree, journal, request.owner)
    targets = {path: read_config(tree.root, path) for path in (request.file, hugepage_file(request.file), *owned)}
    return Observed(
        live=live,
        access=access,
        choices={item.entry: tree.choices(item.entry) for item in request.hugepages if tree.holds(item.entry)},
        originals=originals,
        sysctl_files=read_folders(tree.root, SYSCTL_FOLDERS),
        tmpfiles_files=read_folders(tree.root, TMPFILES_FOLDERS) if request.hugepages or request.absent else {},
        owned_files=owned,
        targets={path: file for path, file in targets.items() if file is not None},
    )


class Transaction:
    """One run's changes. After a failure `put_back` leaves values, files and journal as they were before the run."""

    def __init__(self, request: Request, plan: Plan, tree: LiveTree, journal: Journal) -> None:
        self.request = request
        self.plan = plan
        self.tree = tree
        self.journal = journal
        self._remembered: list[str] = []
        self._files: list[tuple[str, bytes | None, bool]] = []
        touched = [entry for entry, _value in plan.writes]
        touched += [other for entry in touched for other in beside(entry)]
        self._values = {entry: value for entry in dict.fromkeys(touched) for value in [tree.original(entry)] if value}

    def run(self) -> None:
        """Carry the plan out. Raises KernelError, with everything put back, where a step fails."""
        try:
            if self.request.absent:
                self._give_back()
            for entry in self.plan.remember:
                self._remember(_LIVE + self.tree.path(entry), self.tree.original(entry))
            self._write_values(self.plan.targets)
            for file in self.plan.files:
                if file.changed:
                    self._write_file(file.path, file.before, file.data)
            if not self.request.absent:
                self._give_back()
            self._forget()
        except (OSError, KernelError) as error:
            raise KernelError(f"{_reason(error)} {self.put_back()}") from error

    def _remember(self, key: str, value: str | bool | None) -> None:
        try:
            if self.journal.remember(self.request.owner, key, value):
                self._remembered.append(key)
        except OSError:
            # It is not on disk, so it must not get there with a later save either.
            with contextlib.suppress(OSError):
                self.journal.forget(self.request.owner, key)
            raise

    def _write_values(self, targets: Mapping[str, str]) -> None:
        """Write what differs. Twice over, since one write may change another value (huge pages, min_free_kbytes)."""
        for _pass in range(_PASSES):
            for entry, value in write_order(targets):
                if not same_value(self.tree.read(entry), value):
                    self._write_value(entry, value)
        for entry, value in targets.items():
            now = self.tree.read(entry)
            if not same_value(now, value):
                raise KernelError(
                    f"the kernel accepted {value.strip()!r} for /{entry} without an error, but holds {now}."
                )

    def _write_value(self, entry: str, value: str) -> None:
        try:
            self.tree.write(entry, value)
        except OSError as error:
            now = self.tree.read(entry)
            raise KernelError(
                f"the kernel rejects {value.strip()!r} for /{entry}: {error.strerror} (it holds {now})."
            ) from error

    def _write_file(self, path: str, before: bytes | None, data: bytes | None) -> None:
        real = self.tree.path(path.lstrip("/"))
        self._make_folders(os.path.dirname(real))
        known = os.path.realpath(real) in self.journal.files(self.request.owner)
        self._files.append((real, before, known))
        try:
            self.journal.write_file(self.request.owner, real, data, mode=0o644)
        except OSError as error:
            raise KernelError(f"{self._culprit(error, real)} cannot be written: {error.strerror}.") from error

    def _culprit(self, error: OSError, real: str) -> str:
        """The file at fault: its entry in the journal is written before it, and a full disk names no file at all."""
        folder = self.journal.folder
        if error.filename is None:
            return self.journal.path if _full(folder) and not _full(os.path.dirname(real)) else real
        return self.journal.path if str(error.filename).startswith(folder) else real

    def _make_folders(self, folder: str) -> None:
        missing = []
        while not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        for path in reversed(missing):
            self._remember(_FOLDER + path, True)
            os.mkdir(path, 0o755)

    def _give_back(self) -> None:
        for file in self.plan.give_back:
            self._undo_file(self.tree.path(file.path.lstrip("/")))

    def _undo_file(self, real: str) -> None:
        self.journal.undo_file(self.request.owner, real, lambda data: drop_in.without_block(data, self.request.owner))

    def _forget(self) -> None:
        for entry in self.plan.forget:
            key = _LIVE + self.tree.path(entry)
            heir = self.plan.handed_over.get(entry)
            if heir is not None:
                first = self.journal.recall(self.request.owner, key)
                self.journal.forget(heir, key)
                self.journal.remember(heir, key, first)
            self.journal.forget(self.request.owner, key)
        if not self.plan.files:
            prefix = _FOLDER + os.path.join(self.tree.root, "")
            self._drop_folders(key for key in self.journal.owned(self.request.owner) if key.startswith(prefix))

    def _drop_folders(self, keys: Iterable[str]) -> None:
        """Remove the folders that were made, deepest first. One with another owner's block in it goes over to that."""
        for key in sorted(keys, key=len, reverse=True):
            folder = key[len(_FOLDER) :]
            try:
                os.rmdir(folder)
            except OSError:
                for heir in _owners_below(folder)[:1]:
                    self.journal.remember(heir, key, True)
            self.journal.forget(self.request.owner, key)

    def put_back(self) -> str:
        """Undo this run. Returns the sentence that says what became of it."""
        failed = []
        try:
            self._write_values(self._values)
        except (OSError, KernelError) as error:
            failed.append(_reason(error))
        for real, before, known in reversed(self._files):
            try:
                if known:
                    self.journal.write_file(self.request.owner, real, before)
                else:
                    self._undo_file(real)
            except OSError as error:
                failed.append(_reason(error))
        if failed:
            return f"Putting things back failed too: {' '.join(failed)} state: absent tries it again."
        try:
            self._drop_folders(key for key in self._remembered if key.startswith(_FOLDER))
            for key in self._remembered:
                self.journal.forget(self.request.owner, key)
        except OSError as error:
            return f"Putting things back failed too: {_reason(error)}"
        return "Nothing was changed."


def _owners_below(folder: str) -> list[str]:
    found = []
    for where, _folders, names in os.walk(folder):
        for name in filter(lambda one: one.endswith(".conf"), names):
            with contextlib.suppress(OSError), open(os.path.join(where, name), "rb") as stream:
                found += drop_in.owners(stream.read())
    return found


def _full(folder: str) -> bool:
    return os.statvfs(folder).f_bavail == 0


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'the undo journal'} cannot be written: {error.strerror}."
    return str(error)
