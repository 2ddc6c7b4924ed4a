# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill (SIGKILL) a run of compose_limits at every rename and every look into a container's cgroup, one place at a time.

After each kill the compose file must be the old or the new one, never something else; then either `state: absent` must
give back the file to the byte and the containers' limits, or a second run must bring all to the wanted limits.

Usage: kill_everywhere.py PROJECT_SRC FILE PROJECT_NAME STATE_DIR. Prints how often each way was taken.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# The folder that ansible_collections is in: ansible-test runs a copy from deep below it.
ROOT = HERE.partition(f"{os.sep}ansible_collections{os.sep}")[0]
MODULE = "ansible_collections.smallhost.headroom.plugins.modules.compose_limits"
MIB = 1024 * 1024
WANTED = {"holds": 61 * MIB, "cache": 81 * MIB}


def run_module(arguments: dict[str, object], kill_at: int) -> subprocess.CompletedProcess[str]:
    """Run the module as a process of its own; 0: do not kill it."""
    return subprocess.run(
        [sys.executable, os.path.abspath(__file__), "--child", str(kill_at), json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def child(kill_at: int, arguments: str) -> None:
    import re
    import runpy

    sys.path.insert(0, ROOT)
    seen = 0
    group = re.compile(r"^/proc/\d+/cgroup$")

    def watch(event: str, values: tuple[object, ...]) -> None:
        nonlocal seen
        # Looks before the first rename come before any change, and other containers of the host come and go.
        if event == "os.rename" or (seen and event == "open" and group.match(str(values[0]))):
            seen += 1
            if seen == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    read, write = os.pipe()
    os.write(write, json.dumps({"ANSIBLE_MODULE_ARGS": json.loads(arguments)}).encode())
    os.close(write)
    os.dup2(read, 0)
    sys.argv = ["module"]
    runpy.run_module(MODULE, run_name="__main__")


def limits(project: str) -> dict[str, object]:
    names = [f"{project}-{service}-1" for service in WANTED]
    viewer = os.path.join(HERE, "..", "..", "setup_compose", "files", "kernel_view.py")
    done = subprocess.run([sys.executable, viewer, *names], capture_output=True, text=True, check=True)
    return {name.split("-")[-2]: view["memory"] for name, view in json.loads(done.stdout).items()}


def main(src: str, file: str, project: str, state_dir: str) -> None:
    path = os.path.join(src, file)
    with open(path, "rb") as stream:
        old = stream.read()
    base: dict[str, object] = {"project_src": src, "state_dir": state_dir}
    services = [{"name": name, "memory": str(size)} for name, size in WANTED.items()]
    present, absent = {**base, "services": services}, {**base, "state": "absent"}

    def text() -> bytes:
        with open(path, "rb") as stream:
            return stream.read()

    def complete(arguments: dict[str, object]) -> None:
        done = run_module(arguments, 0)
        assert done.returncode == 0, done.stdout + done.stderr

    def restored(where: str) -> None:
        complete(absent)
        assert text() == old, f"{where}: the file is not the old one"
        assert limits(project) == dict.fromkeys(WANTED), f"{where}: limits are left: {limits(project)}"
        names = sorted(os.listdir(src))
        assert not [name for name in names if name.endswith(".headroom")], f"{where}: temporary files are left: {names}"
        journal = os.path.join(state_dir, project, "undo.json")
        assert not os.path.exists(journal), f"{where}: the journal is not empty"

    complete(present)
    new = text()
    assert new != old and limits(project) == WANTED, limits(project)
    restored("without a kill")
    counts = {"undone": 0, "repeated": 0}
    for way in counts:
        for place in range(1, 200):
            done = run_module(present, place)
            if done.returncode == 0:
                break
            where = f"{way} after a kill at place {place}"
            assert done.returncode == -signal.SIGKILL, f"{where}: {done.returncode} {done.stdout} {done.stderr}"
            assert text() in (old, new), f"{where}: the file is half-written"
            if way == "repeated":
                complete(present)
                assert text() == new and limits(project) == WANTED, f"{where}: {limits(project)}"
            restored(where)
            counts[way] += 1
        restored(f"{way}, at the end")
    print(json.dumps(counts))


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        child(int(sys.argv[2]), sys.argv[3])
    else:
        main(*sys.argv[1:])
