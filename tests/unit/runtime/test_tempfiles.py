# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A job's temporary files go with the job: through RQ's own worker, its queue answered from memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import pytest
from headroom_runtime import tempfiles

WORKER = """
    import os, signal, subprocess, sys, tempfile
    tempfile.gettempdir()  # The parent has looked, as libraries do.
    from rq import worker
    from rq.job import Job

    class Nothing:
        def __getattr__(self, name):
            return lambda *arguments, **named: None

    class Worker(worker.Worker):
        def __init__(self): self.name = "w"; self.jobs = []
        def prepare_execution(self, job): return None
        def procline(self, text): pass
        def set_state(self, state): pass
        def main_work_horse(self, job, queue):
            job()
            os._exit(0)
        def monitor_work_horse(self, *rest):
            print("status", os.waitpid(self._horse_pid, 0)[1], flush=True)

    class JobOf:
        id = "1"
        def __init__(self, function): self.function = function
        def __call__(self): self.function()

    def leave_files():
        handle, path = tempfile.mkstemp()
        os.write(handle, b"x")
        os.makedirs(tempfile.mkdtemp() + "/a/b")
        os.symlink("/etc", os.path.join(tempfile.gettempdir(), "link"))
        subprocess.run(["mktemp"], check=True, stdout=subprocess.DEVNULL)
        print(len(os.listdir(tempfile.gettempdir())) >= 4, flush=True)

    def killed():
        leave_files()
        os.kill(os.getpid(), signal.SIGKILL)

    def run(function):
        Worker().execute_job(JobOf(function), None)
        return [name for name in os.listdir(os.environ["TMPDIR"])], tempfile.gettempdir() == os.environ["TMPDIR"]
"""


@pytest.mark.parametrize(("job", "status"), [("leave_files", 0), ("killed", 9)])
def test_nothing_is_left_however_the_job_ends(application, tmp_path, job, status):
    pytest.importorskip("rq")
    folder = tmp_path / "temporary"
    folder.mkdir()
    code = WORKER + f"\n    print(run({job}), flush=True)\n    print(run({job}))\n"
    said, errors = application("tempfiles", code, TMPDIR=str(folder))
    assert said.splitlines() == ["True", f"status {status}", "([], True)"] * 2
    assert errors == ""
    assert os.path.exists("/etc/passwd")


def test_an_error_inside_leaves_the_job_to_itself(application, tmp_path):
    pytest.importorskip("rq")
    said, errors = application(
        "tempfiles",
        """
    from headroom_runtime import tempfiles
    def broken(*arguments):
        raise RuntimeError("injected")
    tempfiles.JobFolder.__init__ = broken
    """
        + WORKER
        + "\n    print(run(lambda: None))\n",
        TMPDIR=str(tmp_path),
    )
    assert said.startswith("status 0\n")
    assert "injected" in errors


def test_folders_of_workers_that_are_gone_are_removed_and_no_others(tmp_path):
    alive = tempfiles.JobFolder(str(tmp_path))
    (tmp_path / "headroom-job-without-a-lock").mkdir()
    (tmp_path / "another").mkdir()
    gone = f"from headroom_runtime import tempfiles; import os; tempfiles.JobFolder({str(tmp_path)!r}); os._exit(0)"
    subprocess.run(
        [sys.executable, "-c", gone],
        env={"PYTHONPATH": os.path.dirname(os.path.dirname(tempfiles.__file__))},
        check=True,
    )
    assert len(list(tmp_path.iterdir())) == 4
    assert tempfiles.remove_left_behind(str(tmp_path)) == 1
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {os.path.basename(alive.path), "headroom-job-without-a-lock", "another"}


def test_a_directory_that_the_application_chose_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/var/tmp")
    folder = tempfiles.JobFolder(str(tmp_path))
    folder.enter()
    assert tempfile.tempdir == "/var/tmp"
    folder.leave()
    assert not os.path.exists(folder.path)
