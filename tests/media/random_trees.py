# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cleaning random trees while others write to them: no wrong file may go. Needs root.

    python3 tests/media/random_trees.py --trees 1000

Each tree holds old and new files, names that are no text, symbolic and hard links in and out of it, and bind mounts.
While it is cleaned, writers replace old files by new ones, write to them, touch them, hold them open, map them, link
them, and put a link to the outside into the place of a folder. Afterwards everything outside, on a mount, new, written
or held must be there with its content, and every old file that nobody touched must be gone. Ends with 1 at the first
tree where that is not so, and keeps the tree. It starts itself again in namespaces of its own (util-linux' unshare), so
that its mounts are nobody else's and no process is in sight that it may not look at.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field

from ansible_collections.smallhost.headroom.plugins.module_utils.media import cleanup

OLD = 30 * 86400
AHEAD = 14 * 86400
ODD = [b"line\nend", b"\xff\xfe raw", b" lead", b"-rf", b"\xd1\x84.jpg", b"tab\there", b"*?[x]", b"n" * 250, b"..."]


@dataclass
class Tree:
    """One tree and what is known of it. Paths are bytes, because names are."""

    top: bytes
    chance: random.Random
    folders: list[bytes] = field(default_factory=list)
    aged: list[bytes] = field(default_factory=list)
    """Old files: nothing but the writers' work saves them."""
    fixed: dict[bytes, bytes] = field(default_factory=dict)
    """Files that have to be there with this content."""
    links: dict[bytes, bytes] = field(default_factory=dict)
    linked_outside: dict[bytes, bytes] = field(default_factory=dict)
    mounts: list[bytes] = field(default_factory=list)
    touched: set[bytes] = field(default_factory=set)
    """Old files that a writer has had its hands on: they may be there or not, but a newer content may not be lost."""
    held: list[tuple[bytes, int]] = field(default_factory=list)

    @property
    def root(self) -> bytes:
        return self.top + b"/media"

    @property
    def outside(self) -> bytes:
        return self.top + b"/outside"


def write(path: bytes, content: bytes, seconds_ago: float) -> None:
    with open(path, "wb") as stream:
        stream.write(content)
    then = time.time() - seconds_ago
    os.utime(path, (then, then))


class Clock:
    """Old files need an old change time, which no call sets. So cleaning is told that it is so much later.

    What was made before `boundary` is old then, and what is made after it is new, however long the cleaning takes.
    """

    def __init__(self) -> None:
        self.real = time.time_ns
        # The kernel's file times are those of its last tick, up to 10 ms ago.
        time.sleep(0.03)
        self.boundary = time.time_ns()
        time.sleep(0.03)

    def __enter__(self) -> None:
        cleanup.time.time_ns = lambda: self.boundary + AHEAD * 1_000_000_000

    def __exit__(self, *_exception: object) -> None:
        cleanup.time.time_ns = self.real


def name(tree: Tree, number: int) -> bytes:
    odd = tree.chance.choice(ODD) if tree.chance.random() < 0.3 else b"file"
    return odd[: 250 - len(str(number))] + str(number).encode()


def grow(top: bytes, seed: int) -> Tree:
    """Make a tree whose files are old in a moment."""
    tree = Tree(top, random.Random(seed))
    chance = tree.chance
    os.makedirs(tree.root)
    os.makedirs(tree.outside + b"/deep")
    tree.folders.append(tree.root)
    for number in range(chance.randrange(1, 7)):
        folder = chance.choice(tree.folders) + b"/" + name(tree, number)
        os.mkdir(folder)
        tree.folders.append(folder)
    for number in range(3):
        path = tree.outside + b"/deep/precious" + str(number).encode()
        write(path, b"precious" + str(number).encode(), OLD)
        tree.fixed[path] = b"precious" + str(number).encode()
    for number in range(chance.randrange(5, 25)):
        path = chance.choice(tree.folders) + b"/" + name(tree, 100 + number)
        write(path, b"old" * chance.randrange(1, 50), OLD)
        tree.aged.append(path)
    link_up(tree)
    if chance.random() < 0.5:
        mount(tree)
    return tree


def link_up(tree: Tree) -> None:
    chance, precious = tree.chance, list(tree.fixed)
    targets = [*precious, tree.outside, tree.root, b"../outside/deep", b"no/such/file", *tree.aged[:2]]
    for number in range(chance.randrange(0, 6)):
        path = chance.choice(tree.folders) + b"/link" + str(number).encode()
        target = chance.choice(targets)
        os.symlink(target, path)
        tree.links[path] = target
    for number in range(chance.randrange(0, 4)):
        source = chance.choice(tree.aged)
        # When one of a file's names goes, its change time moves on, so that a name which was away stays a while longer.
        tree.touched.add(source)
        if chance.random() < 0.5:
            path = chance.choice(tree.folders) + b"/hard" + str(number).encode()
            os.link(source, path)
            tree.aged.append(path)
            tree.touched.add(path)
        else:
            path = tree.outside + b"/hard" + str(number).encode()
            os.link(source, path)
            with open(path, "rb") as stream:
                tree.linked_outside[path] = stream.read()


def mount(tree: Tree) -> None:
    """A bind mount of a folder of the same file system, which has the same device: only its mount tells."""
    place = tree.chance.choice(tree.folders) + b"/mounted"
    os.mkdir(place)
    subprocess.run([b"mount", b"--bind", tree.outside + b"/deep", place], check=True)
    tree.mounts.append(place)


def a_token() -> bytes:
    return b"token-" + os.urandom(8).hex().encode()


class Writers:
    """What happens to a tree while it is cleaned."""

    def __init__(self, tree: Tree, seed: int) -> None:
        self.tree = tree
        self.chance = random.Random(f"writers {seed}")
        # Each writer has files of its own, so that what it replaces is its own work. Names of one file go together.
        self.files = [path for path in tree.aged if b"hard" not in path and os.stat(path).st_nlink == 1]
        self.chance.shuffle(self.files)
        self.stop = threading.Event()
        self.threads: list[threading.Thread] = []
        self.latest: dict[bytes, bytes] = {}
        self.handles: list[int] = []
        self.mappings: list[mmap.mmap] = []

    def start(self) -> None:
        deeds = [self.replace, self.append, self.touch, self.hold, self.map, self.save_by_link]
        share = max(1, len(self.files) // (2 * len(deeds)))
        for deed in deeds:
            mine = [self.files.pop() for _number in range(min(share, len(self.files)))]
            self.tree.touched.update(mine)
            self.threads.append(threading.Thread(target=self.work, args=(deed, mine)))
        self.threads.append(threading.Thread(target=self.swap))
        self.threads.append(threading.Thread(target=self.create))
        for thread in self.threads:
            thread.start()

    def join(self) -> None:
        """Wait until nothing is written any more; what is held stays held."""
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def release(self) -> None:
        for handle in self.handles:
            os.close(handle)
        for mapping in self.mappings:
            mapping.close()

    def work(self, deed, mine: list[bytes]) -> None:
        for path in mine:
            time.sleep(self.chance.random() * 0.004)
            # It may be gone already: then there is nothing to do for it.
            with contextlib.suppress(FileNotFoundError):
                deed(path)

    def replace(self, path: bytes) -> None:
        """Twice, as a program does that saves: written beside, renamed over."""
        for _time in range(2):
            token, beside = a_token(), os.path.dirname(path) + b"/part-" + os.urandom(4).hex().encode()
            with open(beside, "wb") as stream:
                stream.write(token)
            os.rename(beside, path)
            self.latest[path] = token

    def append(self, path: bytes) -> None:
        token, handle = a_token(), os.open(path, os.O_WRONLY | os.O_APPEND)
        time.sleep(self.chance.random() * 0.003)
        os.write(handle, token)
        os.close(handle)
        self.latest[path] = token

    def touch(self, path: bytes) -> None:
        os.utime(path)

    def hold(self, path: bytes) -> None:
        handle = os.open(path, os.O_RDONLY)
        self.handles.append(handle)
        self.tree.held.append((path, os.fstat(handle).st_ino))

    def map(self, path: bytes) -> None:
        handle = os.open(path, os.O_RDONLY)
        self.mappings.append(mmap.mmap(handle, 0, prot=mmap.PROT_READ))
        self.tree.held.append((path, os.fstat(handle).st_ino))
        os.close(handle)

    def save_by_link(self, path: bytes) -> None:
        target = self.tree.outside + b"/saved" + os.urandom(4).hex().encode()
        with open(path, "rb") as stream:
            content = stream.read()
        os.link(path, target)
        self.tree.linked_outside[target] = content

    def swap(self) -> None:
        """A folder is moved away, and a link to the outside takes its place."""
        folders = [folder for folder in self.tree.folders[1:] if not self.tree.mounts]
        if not folders:
            return
        folder = self.chance.choice(folders)
        away = self.tree.outside + b"/away"
        with contextlib.suppress(OSError):
            os.rename(folder, away)
            os.symlink(self.tree.outside + b"/deep", folder)
            time.sleep(self.chance.random() * 0.003)
            os.unlink(folder)
            os.rename(away, folder)

    def create(self) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            path = self.chance.choice(self.tree.folders) + b"/created" + str(number).encode()
            with contextlib.suppress(OSError):
                token = a_token()
                with open(path, "xb") as stream:
                    stream.write(token)
                self.latest[path] = token
            time.sleep(0.001)


def contents(folder: bytes) -> dict[bytes, tuple[int, bytes]]:
    """Inode and content of every file below, links not followed."""
    found = {}
    for place, _folders, names in os.walk(folder):
        for entry in names:
            path = place + b"/" + entry
            if not os.path.islink(path):
                with open(path, "rb") as stream:
                    found[path] = (os.fstat(stream.fileno()).st_ino, stream.read())
    return found


def faults(tree: Tree, writers: Writers) -> list[str]:
    """What is wrong with a tree after it was cleaned. Held files are still held."""
    found = []
    inside = contents(tree.root)
    everything = {**inside, **contents(tree.outside)}
    for path, content in {**tree.fixed, **tree.linked_outside}.items():
        if everything.get(path, (0, None))[1] != content:
            found.append(f"outside of the tree, lost or changed: {path!r}")
    for path, target in tree.links.items():
        if not os.path.islink(path) or os.readlink(path) != target:
            found.append(f"link lost: {path!r}")
    for place in tree.mounts:
        if sorted(os.listdir(place)) != [b"precious0", b"precious1", b"precious2"]:
            found.append(f"files on a mount lost: {place!r}")
    inodes = {inode for inode, _content in inside.values()}
    found += [f"held, but gone: {path!r}" for path, inode in tree.held if inode not in inodes]
    texts = [content for _inode, content in everything.values()]
    for path, token in writers.latest.items():
        if not any(token in text for text in texts):
            found.append(f"written while cleaning, but gone: {path!r}")
    for path in tree.aged:
        if path not in tree.touched and os.path.lexists(path) and not any(path.startswith(m) for m in tree.mounts):
            found.append(f"old and untouched, but still there: {path!r}")
    return [*found, *(f"left behind: {path!r}" for path in inside if b"/.headroom-cleanup-" in path)]


def one(seed: int, folder: str) -> tuple[list[str], int]:
    """Grow, clean under fire, judge. Returns the faults and how many files were removed."""
    tree = grow(os.fsencode(folder), seed)
    clock = Clock()
    writers = Writers(tree, seed)
    entry = {"path": os.fsdecode(tree.root), "max_age": AHEAD}
    try:
        with clock:
            writers.start()
            removed = len(cleanup.clean(entry, dry_run=False).removed)
            writers.join()
            # What a folder that was away for a moment hid from the first run is found by the second.
            removed += len(cleanup.clean(entry, dry_run=False).removed)
        return faults(tree, writers), removed
    finally:
        writers.join()
        writers.release()
        for place in tree.mounts:
            subprocess.run([b"umount", place], check=True)


def in_namespaces(*command: str) -> list[str]:
    """The command line that runs a command with mounts and processes of its own."""
    return ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "private", "--", *command]


def may_have_namespaces() -> bool:
    """Whether this user may make them here."""
    try:
        return subprocess.run(in_namespaces("true"), check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def trees(count: int, first: int, folder: str) -> int:
    """Go through so many trees; returns how many files were removed. Raises AssertionError at the first fault."""
    removed = 0
    for seed in range(first, first + count):
        place = os.path.join(folder, str(seed))
        found, went = one(seed, place)
        assert not found, f"tree {seed}, kept in {place}: " + "; ".join(found)
        removed += went
        shutil.rmtree(place)
    return removed


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trees", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first tree")
    options = parser.parse_args()
    if os.getpid() != 1:
        return subprocess.run(in_namespaces(sys.executable, *sys.argv), check=False).returncode
    folder = tempfile.mkdtemp(prefix="headroom-trees-")
    began = time.monotonic()
    try:
        removed = trees(options.trees, options.first, folder)
    except AssertionError as error:
        print(error)
        return 1
    shutil.rmtree(folder)
    seconds = time.monotonic() - began
    print(f"{options.trees} trees: {removed} old files removed, no wrong one, in {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
