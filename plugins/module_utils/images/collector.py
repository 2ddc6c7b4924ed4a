# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs inside a build stage, as `python3 collect.py`, written there by the Dockerfile itself.

`before` notes which files there are. `after N NAME...` copies what has come since into /headroom/N, where the final
stage fetches it: without caches, documentation, headers, tests that nothing imports, bytecode of other interpreters,
pip itself and what belongs to packages of Debian. Beside it go the names of the packages of Debian that hold the shared
libraries which the new files are linked with, and those behind the named -dev packages, which may be loaded by name.

It has no single quotes, because it stands between them in the Dockerfile, and needs nothing but Python 3.7.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

HOME = "/headroom"
NOTES = "usr/local/share/headroom"
# Nothing that an image needs is made here by an installation of Python packages.
SKIPPED = (
    "proc",
    "sys",
    "dev",
    "run",
    "tmp",
    "boot",
    "etc",
    "headroom",
    "var/lib",
    "var/cache",
    "var/log",
    "var/tmp",
    "var/spool",
    "var/run",
)
SYSTEM = re.compile("(bin|sbin|lib[0-9a-z]*|usr/(bin|sbin|lib[0-9a-z]*|share|include|libexec|games))(/|$)")
CACHES = re.compile("(^|/)([.]cache/(pip|uv|pypoetry|pipenv|pdm|virtualenv)|[.]npm|[.]cargo|[.]rustup|[.]ccache)(/|$)")
LEFT_OUT = re.compile(
    "^usr/local/(include|lib/pkgconfig|share/(man|doc|info)|man)/"
    "|(^|/)(site|dist)-packages/pip(-[^/]*)?/|^(usr/local|root/[.]local)/bin/pip[0-9.]*$|[.](a|la)$"
)
PACKAGES = re.compile("(^|.*/)(site|dist)-packages/")
TESTS = re.compile("(.*/(?:site|dist)-packages/([^/]+)/(?:.*/)?tests)/")


def scan(root: str) -> dict[str, list[int]]:
    """Path below the root -> [size, time of change in seconds] of every file and link that counts."""
    found: dict[str, list[int]] = {}
    device = os.lstat(root).st_dev
    for folder, folders, files in os.walk(root):
        place = os.path.relpath(folder, root)
        inner = "" if place == "." else place + "/"
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        folders[:] = [name for name in folders if name not in links and _entered(root, inner + name, device)]
        for name in files + links:
            try:
                status = os.lstat(os.path.join(folder, name))
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                found[inner + name] = [status.st_size, int(status.st_mtime)]
    return found


def _entered(root: str, place: str, device: int) -> bool:
    if place in SKIPPED or CACHES.search(place):
        return False
    try:
        return os.lstat(os.path.join(root, place)).st_dev == device
    except OSError:
        return False


def wanted(paths: Iterable[str], system_too: bool, owned: Mapping[str, str], tag: str) -> list[str]:
    """Which of the new paths the final image gets; tag is that of the interpreter, cpython-311."""
    found = []
    for path in paths:
        if LEFT_OUT.search(path) or (SYSTEM.match(path) and (not system_too or "/" + path in owned)):
            continue
        if path.endswith((".pyc", ".pyo")) and "__pycache__/" in path and not path.endswith("." + tag + ".pyc"):
            continue
        found.append(path)
    return found


def unused_tests(paths: Sequence[str], read: Callable[[str], str]) -> set[str]:
    """The folders of tests inside installed packages that no module outside of tests imports."""
    folders: dict[str, set[str]] = {}
    for path in paths:
        match = TESTS.match(path)
        if match:
            folders.setdefault(match.group(2), set()).add(match.group(1))
    imports = re.compile(r"^\s*(?:from|import)\s.*\btests\b", re.MULTILINE)
    used: set[str] = set()
    for path in paths:
        match = re.match(".*/(?:site|dist)-packages/([^/]+)/", path)
        is_candidate = match and match.group(1) in folders and path.endswith(".py") and "/tests/" not in path
        if match and is_candidate and imports.search(read(path)):
            used.add(match.group(1))
    return {folder for package, found in folders.items() if package not in used for folder in found}


def owners(info: str) -> dict[str, str]:
    """File -> Debian package, from the lists that dpkg keeps."""
    found: dict[str, str] = {}
    for name in os.listdir(info) if os.path.isdir(info) else []:
        if name.endswith(".list"):
            with open(os.path.join(info, name), errors="replace") as stream:
                found.update(dict.fromkeys(stream.read().splitlines(), name[:-5].split(":")[0]))
    return found


def owner(path: str, owned: Mapping[str, str]) -> str | None:
    """The package that a library belongs to. A merged /usr has it under another name than the list says."""
    real = os.path.realpath(path)
    for name in (path, real):
        for other in (name, "/usr" + name, name.replace("/usr/", "/", 1)):
            if other in owned:
                return owned[other]
    return None


def libraries(output: str) -> set[str]:
    """The files that ldd names as found."""
    return set(re.findall(r"=> (/\S+)", output))


def is_binary(path: str) -> bool:
    """Whether a file is a program or a library of the kernel format."""
    try:
        with open(path, "rb") as stream:
            return stream.read(4) == b"\x7fELF"
    except OSError:
        return False


def behind(names: Iterable[str], depends: Callable[[str], str]) -> set[str]:
    """The run-time libraries that -dev packages bring, through other -dev packages too."""
    found: set[str] = set()
    seen: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for entry in re.split("[,|]", depends(name)):
            other = entry.strip().split(" ")[0].split(":")[0]
            if re.search("-dev(-[a-z]+)?$", other):
                todo.append(other)
            elif re.match("lib.*[0-9]", other):
                found.add(other)
    return found


def _depends(name: str) -> str:
    argv = ["dpkg-query", "-W", "-f", "${Status}|${Depends}", name]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    status, _bar, depends = done.stdout.partition("|")
    return depends if status.endswith(" installed") else ""


def copy(source: str, target: str, uid: int) -> None:
    """Copy a file or link with its folders; mode and owner as they are."""
    todo, folder = [], os.path.dirname(target)
    while not os.path.isdir(folder):
        todo.append(folder)
        folder = os.path.dirname(folder)
    for index, made in enumerate(reversed(todo)):
        os.mkdir(made)
        origin = os.path.dirname(source)
        for _step in range(len(todo) - 1 - index):
            origin = os.path.dirname(origin)
        shutil.copystat(origin, made)
        _own(origin, made, uid)
    shutil.copy2(source, target, follow_symlinks=False)
    _own(source, target, uid)


def _own(source: str, target: str, uid: int) -> None:
    if uid == 0:
        status = os.lstat(source)
        os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)


def before() -> None:
    """Note what there is."""
    with open(HOME + "/before.json", "w") as stream:
        json.dump({"files": scan("/"), "dpkg": _dpkg_state()}, stream)


def _dpkg_state() -> list[int] | None:
    try:
        status = os.stat("/var/lib/dpkg/status")
    except OSError:
        return None
    return [status.st_size, int(status.st_mtime)]


def _noted_before(home: str, note: str) -> set[str]:
    """The lines that earlier installations have noted, so that one list has all."""
    found: set[str] = set()
    for number in os.listdir(home):
        path = os.path.join(home, number, NOTES, note)
        if os.path.isfile(path):
            with open(path) as stream:
                found.update(stream.read().splitlines())
    return found


def _note(goal: str, note: str, lines: Iterable[str]) -> None:
    with open(os.path.join(goal, NOTES, note), "w") as stream:
        stream.write("".join(line + "\n" for line in sorted(lines)))


def foreign(goal: str, root: str, uid: int) -> set[str]:
    """Folders of the copy, as `UID:GID /path`, that belong to somebody else where they come from, as /usr does.

    The final stage gives the whole copy to the user, by name, because the number may be another one there.
    """
    found = set()
    for folder, _folders, _files in os.walk(goal):
        place = os.path.relpath(folder, goal)
        origin = os.path.join(root, place)
        status = os.lstat(origin) if os.path.lexists(origin) else None
        if status is None or status.st_uid != uid:
            who = f"{status.st_uid}:{status.st_gid}" if status else "0:0"
            found.add(f"{who} /{place}")
    return found


def after(number: str, development: Sequence[str]) -> None:
    """Copy what has come, and name the packages that it needs."""
    with open(HOME + "/before.json") as stream:
        noted = json.load(stream)
    now, old = scan("/"), noted["files"]
    owned = owners("/var/lib/dpkg/info")
    new = [path for path, state in now.items() if old.get(path) != state]
    tag = getattr(sys.implementation, "cache_tag", "")
    kept = wanted(new, noted["dpkg"] == _dpkg_state(), owned, tag)

    def read(path: str) -> str:
        with open("/" + path, errors="replace") as stream:
            return stream.read()

    tests = unused_tests(kept, read)
    kept = [path for path in kept if not any(path.startswith(folder + "/") for folder in tests)]
    goal = os.path.join(HOME, number)
    os.makedirs(os.path.join(goal, NOTES), exist_ok=True)
    for path in kept:
        copy("/" + path, os.path.join(goal, path), os.getuid())
    binaries = ["/" + path for path in kept if not os.path.islink("/" + path) and is_binary("/" + path)]
    needed = behind(development, _depends) | _noted_before(HOME, "packages")
    for start in range(0, len(binaries), 200):
        argv = ["ldd", *binaries[start : start + 200]]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        needed |= {name for name in (owner(path, owned) for path in libraries(done.stdout)) if name}
    _note(goal, "packages", needed)
    if os.getuid():
        _note(goal, "folders", foreign(goal, "/", os.getuid()) | _noted_before(HOME, "folders"))
    size = sum(now[path][0] for path in kept)
    sys.stdout.write(f"kept {len(kept)} of {len(new)} new files, {size // 1000000} MB\n")


if __name__ == "__main__":
    if sys.argv[1] == "before":
        before()
    else:
        after(sys.argv[2], sys.argv[3:])
