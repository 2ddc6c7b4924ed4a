# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from headroom_sampler import record
from headroom_sampler.store import TIERS, Store, Tier, open_end, samples, unword
from hypothesis import given
from hypothesis import strategies as st

NOON = 1_800_000_000 - 1_800_000_000 % (2 * 86400)  # a moment at which a file of every tier begins


def sample(number: int, containers: int = 1) -> record.Sample:
    """A sample that tells from its figures which one it is."""
    known = {"span_ms": 15000, "working_set_kib": number, "cpu_ms": 100, "limit_kib": 204800, "oom_kills": 0}
    taken = {("c", f"deploy/api/deploy-api-{one}"): record.values("c", known) for one in range(1, containers + 1)}
    taken["h", "host"] = record.values("h", {"span_ms": 15000, "memory_kib": 3_000_000, "used_kib": number})
    return taken


def numbers_in(path: str) -> list[int]:
    """The figures that tell the samples apart, from one file."""
    found = samples(Path(path).read_bytes(), 0)
    return [known[1] for _at, one in found for (kind, _key), known in one.items() if kind == "c"]


def test_folding_keeps_the_highest_memory_the_sum_of_counts_and_the_last_limit():
    first = record.values("c", {"working_set_kib": 10, "cpu_ms": 5, "limit_kib": 100, "health": 3})
    second = record.values("c", {"working_set_kib": 7, "cpu_ms": 6, "limit_kib": 90, "health": 1, "tasks": 2})
    folded = dict(zip((name for name, _unused in record.COLUMNS["c"]), record.fold("c", first, second)))
    assert folded["working_set_kib"] == 10
    assert folded["cpu_ms"] == 11
    assert folded["limit_kib"] == 90
    assert folded["health"] == 3
    assert folded["tasks"] == 2
    assert folded["anon_kib"] is None


def test_a_bucket_gives_its_fold_when_the_next_one_begins_even_if_the_clock_goes_back():
    bucket = record.Bucket(60)
    assert bucket.add(NOON, sample(1)) is None
    assert bucket.add(NOON + 15, sample(5)) is None
    start, folded = bucket.add(NOON + 60, sample(2))
    assert start == NOON
    assert folded["h", "host"][2] == 5
    start, folded = bucket.add(NOON - 3600, sample(3))
    assert (start, folded["h", "host"][2]) == (NOON + 60, 2)


@given(st.text())
def test_any_name_is_one_word_of_a_line_and_comes_back(name):
    written = record.word(name)
    assert len(written.split()) == 1
    assert written.isascii()
    assert written.isprintable()
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    assert unword(written) == name


def test_a_file_says_what_its_columns_are_and_names_each_thing_once(tmp_path):
    tier = Tier(str(tmp_path), 15, 10800, 5)
    assert tier.append(NOON, sample(1)) is True
    assert tier.append(NOON + 15, sample(2)) is False
    lines = Path(tier.path(NOON)).read_text().splitlines()
    assert lines[0] == f"#headroom-samples 1 step=15 start={NOON}"
    assert lines[1].startswith("#c span_ms:sum working_set_kib:max ")
    assert sum(line.startswith("k ") for line in lines) == 2
    assert [line.split()[:4] for line in lines if line.startswith("c ")] == [
        ["c", "0", "1", "15000"],
        ["c", "15", "1", "15000"],
    ]


def test_a_torn_last_line_is_cut_off_wherever_it_was_torn(tmp_path):
    tier = Tier(str(tmp_path), 15, 10800, 5)
    for number in (1, 2):
        tier.append(NOON + 15 * number, sample(number))
    path = Path(tier.path(NOON))
    whole = path.read_bytes()
    second = whole.index(b"c 30 ")
    for end in range(second, len(whole)):
        path.write_bytes(whole[:end])
        again = Tier(str(tmp_path), 15, 10800, 5)
        again.append(NOON + 45, sample(3))
        kept = [2] if end > whole.index(b"\n", second) else []
        assert numbers_in(str(path)) == [1, *kept, 3], f"cut at {end}"


def test_a_partial_write_is_taken_back(tmp_path):
    """The file size limit stands for a disk that fills in the middle of a line: the kernel writes a part of it."""
    tier = Tier(str(tmp_path), 15, 10800, 5)
    tier.append(NOON, sample(1))
    path = Path(tier.path(NOON))
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, hard))
    try:
        with pytest.raises(OSError, match="only a part"):
            tier.append(NOON + 15, sample(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == before
    tier.append(NOON + 30, sample(3))
    assert numbers_in(str(path)) == [1, 3]


def test_a_full_disk_is_counted_and_recording_goes_on_when_there_is_room_again(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system takes root")
    try:
        store = Store(str(disk / "samples"), 15, 1 << 20)
        for number in range(400):
            store.add(NOON + 15 * number, sample(number))
        assert store.errors > 0
        kept = numbers_in(str(next(disk.glob("samples/0015-*"))))
        assert kept == list(range(len(kept)))
        for path in disk.glob("samples/00[16]*"):
            path.unlink()
        store.add(NOON + 15 * 400, sample(400))
        assert numbers_in(str(next(disk.glob("samples/0015-*")))) == [400]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


WRITER = """
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, {files!r})
from headroom_sampler import record
from headroom_sampler.store import Store
store = Store({folder!r}, 15, 1 << 30)
number = {number}
store.resume({noon} + 15 * number)
while True:
    known = {{"span_ms": 15000, "working_set_kib": number, "cpu_ms": 1}}
    taken = {{("c", f"deploy/api/{{one}}"): record.values("c", known) for one in range(200)}}
    store.add({noon} + 15 * number, taken)
    number += 1
    if number == {number} + 20:
        print("running", flush=True)
"""


def test_killed_in_the_middle_of_writing_nothing_whole_is_lost(tmp_path, files):
    """Ten kills at random moments of a writer that does nothing else; each time the next one goes on."""
    folder = tmp_path / "samples"
    number = 0
    cut_off: set[int] = set()
    for seed in range(10):
        program = WRITER.format(files=str(files), folder=str(folder), number=number, noon=NOON)
        writer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=tmp_path)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(random.Random(seed).uniform(0, 0.02))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        seen: list[int] = []
        for path in sorted(folder.glob("0015-*")):
            seen += [known[1] for _at, one in samples(path.read_bytes(), 0) for known in one.values()]
        whole = [one for one in sorted(set(seen)) if seen.count(one) == 200]
        assert whole[-1] >= number + 19
        assert set(seen) - set(whole) <= cut_off | {whole[-1] + 1}
        cut_off = set(seen) - set(whole)
        # A sample cut off in the middle is finished by nobody: the next one starts behind it.
        number = max(seen) + 1
    sums = [
        known[9]
        for path in folder.glob("0060-*")
        for _at, one in samples(path.read_bytes(), 0)
        for known in one.values()
    ]
    assert sums and set(sums) <= {3, 4}, "a minute of four samples that a kill fell into lacks one of them at most"


def test_a_restart_takes_up_the_steps_that_were_under_way(tmp_path):
    folder = str(tmp_path)
    first = Store(folder, 15, 1 << 20)
    for number in range(3):
        first.add(NOON + 15 * number, sample(number))
    second = Store(folder, 15, 1 << 20)
    second.resume(NOON + 40)
    for number in range(3, 41):
        second.add(NOON + 15 * number, sample(number))
    minutes = [one for _at, one in samples(Path(Tier(folder, *TIERS[1]).path(NOON)).read_bytes(), 0)]
    folded = dict(zip((name for name, _unused in record.COLUMNS["c"]), minutes[0]["c", "deploy/api/deploy-api-1"]))
    assert (folded["cpu_ms"], folded["span_ms"], folded["working_set_kib"]) == (400, 60000, 3)
    coarse = [one for _at, one in samples(Path(Tier(folder, *TIERS[2]).path(NOON)).read_bytes(), 0)]
    folded = dict(zip((name for name, _unused in record.COLUMNS["c"]), coarse[0]["c", "deploy/api/deploy-api-1"]))
    assert (folded["cpu_ms"], folded["working_set_kib"]) == (4000, 39)


@pytest.mark.parametrize("away", [40, 3 * 86400])
def test_a_restart_in_a_later_step_writes_the_step_that_was_under_way(tmp_path, away):
    folder = str(tmp_path)
    first = Store(folder, 15, 1 << 20)
    for number in range(79):  # the last one half a minute before the second ten minutes are over
        first.add(NOON + 15 * number, sample(number))
    now = NOON + 1170 + away
    second = Store(folder, 15, 1 << 20)
    second.resume(now)
    for number in range(79, 200):
        second.add(now + 15 * (number - 79), sample(number))
    coarse = Path(Tier(folder, *TIERS[2]).path(NOON)).read_bytes()
    found = {at: known[1] for at, one in samples(coarse, 0) for (kind, _key), known in one.items() if kind == "c"}
    assert {at: found.get(at) for at in (NOON, NOON + 600)} == {NOON: 39, NOON + 600: 78}
    assert len(coarse.splitlines()) == len(set(coarse.splitlines())), "no step is written twice"
    minutes = numbers_in(Tier(folder, *TIERS[1]).path(NOON))
    assert minutes[:20] == [*range(3, 79, 4), 78]


def test_sixteen_days_take_four_megabytes_and_the_last_fourteen_are_there(tmp_path):
    store = Store(str(tmp_path), 15, 16 << 20)
    days, step = 16, 15
    # 60 s a sample would be quicker and would not fill the finest tier: it is filled where it is kept.
    for at in range(0, days * 86400, 60):
        fine = at >= (days - 1) * 86400
        for more in range(0, 60, step) if fine else (0,):
            store.add(NOON + at + more, sample(100_000 + at % 50_000, containers=5))
    assert store.errors == 0
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert 3 << 20 < sum(sizes.values()) < 5 << 20, sizes
    oldest = min(at for path in tmp_path.glob("0600-*") for at, _one in samples(path.read_bytes(), 0))
    assert oldest <= NOON + 2 * 86400
    assert [len(list(tmp_path.glob(f"{one[0]:04d}-*"))) for one in TIERS] == [5, 5, 8]


def test_a_clock_that_jumps_ahead_and_back_costs_no_history(tmp_path):
    store = Store(str(tmp_path), 15, 16 << 20)
    for at in range(0, 20 * 86400, 600):
        store.add(NOON + at, sample(at))
    before = {path.name for path in tmp_path.glob("0600-*")}
    now = NOON + 20 * 86400
    store.add(now + 400 * 86400, sample(1))
    store.add(now + 400 * 86400 + 600, sample(1))
    for at in range(0, 6 * 86400, 600):
        store.add(now + at, sample(at))
    after = {path.name for path in tmp_path.glob("0600-*")}
    assert len(before & after) >= 4
    assert not [name for name in after if int(name[5:17]) > now + 30 * 86400]


def test_a_host_without_a_clock_of_its_own_starts_in_1970_and_keeps_its_history(tmp_path):
    store = Store(str(tmp_path), 15, 16 << 20)
    for at in range(0, 20 * 86400, 600):
        store.add(NOON + at, sample(at))
    before = {path.name for path in tmp_path.glob("0600-*")}
    for at in range(30, 3600, 15):
        store.add(at, sample(at))
    store.add(NOON + 20 * 86400, sample(1))
    after = {path.name for path in tmp_path.glob("0600-*")}
    assert len(before & after) >= len(before) - 1


def test_many_containers_cost_the_finest_samples_first(tmp_path):
    store = Store(str(tmp_path), 15, 3 << 20)
    for at in range(0, 15 * 3600, 15):
        store.add(NOON + at, sample(at, containers=20))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 6 << 20
    assert len(list(tmp_path.glob("0015-*"))) < 5
    assert len(list(tmp_path.glob("0600-*"))) == 1


def test_what_is_damaged_in_the_middle_costs_its_own_line_only(tmp_path):
    tier = Tier(str(tmp_path), 15, 10800, 5)
    for number in range(5):
        tier.append(NOON + 15 * number, sample(number))
    path = Path(tier.path(NOON))
    raw = path.read_bytes()
    at = raw.index(b"c 30 ")
    path.write_bytes(raw[:at] + b"\0" * 8 + raw[at + 8 :])
    assert numbers_in(str(path)) == [0, 1, 3, 4]
    assert os.path.getsize(path) == len(raw)
    assert open_end(str(path))["h", "host"] == 2
