# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from headroom_sampler import record
from headroom_sampler.metrics import METRICS
from headroom_sampler.sampler import Counters, Sampler, address
from headroom_sampler.store import samples
from headroom_sampler.users import SourceError

parser = pytest.importorskip("prometheus_client.parser")

NOON = 1_800_000_000
SYSTEM_PYTHON = "/usr/bin/python3"


def host(root: Path, **users: object) -> dict:
    """A host of three containers in recorded files, and the sampler's configuration for it."""
    proc, sys_root = root / "proc", root / "sys"
    for number, (service, state) in enumerate(
        [("api", "unhealthy"), ("bot", None), ('odd"\\name', "healthy")], start=1
    ):
        identity = f"{number:064x}"
        group = sys_root / "docker" / identity
        group.mkdir(parents=True)
        (group / "memory.current").write_text(f"{number * 100_000_000}\n")
        (group / "memory.stat").write_text("anon 50000\nfile 9000\nshmem 1000\ninactive_file 0\n")
        (group / "memory.max").write_text("125829120\n" if number == 1 else "max\n")
        (group / "memory.events").write_text("oom_kill 6\n")
        (group / "cpu.stat").write_text("usage_usec 1000000\nthrottled_usec 0\n")
        (group / "pids.current").write_text("4\n")
        (proc / str(number)).mkdir(parents=True)
        (proc / str(number) / "cgroup").write_text(f"0::/docker/{identity}\n")
        described = {
            "Name": f"/deploy-{service}-1",
            "RestartCount": number,
            "State": {"Running": True, "Pid": number, "Health": {"Status": state} if state else None},
            "Config": {
                "Env": ["BOT_TOKEN=12345:secret"],
                "Labels": {"com.docker.compose.project": "deploy", "com.docker.compose.service": service},
            },
            "NetworkSettings": {"Networks": {"deploy_default": {"IPAddress": f"172.18.0.{number}"}}},
        }
        folder = root / "docker/containers" / identity
        folder.mkdir(parents=True)
        (folder / "config.v2.json").write_text(json.dumps(described))
    (proc / "self").mkdir()
    (proc / "self/mountinfo").write_text("26 21 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    (proc / "self/statm").write_text("5000 2400 1000 1 0 900 0\n")
    (proc / "meminfo").write_text("MemTotal: 3000000 kB\nMemAvailable: 2000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n")
    (proc / "vmstat").write_text("oom_kill 6\n")
    (proc / "pressure").mkdir()
    (proc / "pressure/memory").write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\n")
    (sys_root / "cpu.stat").write_text("usage_usec 7000000\n")
    counters = root / "counters"
    counters.mkdir()
    (counters / "api").write_text("requests 100\nerrors 3\nrequest_seconds 12.5\n")
    return {
        "interval": 15,
        "state_dir": str(root),
        "most_bytes": 1 << 20,
        "docker_root": str(root / "docker"),
        "proc": str(proc),
        "cgroup_root": str(sys_root),
        "disks": ["/", "/no/such/mount"],
        "probes": [{"service": "api", "url": "http://127.0.0.1:9/"}],
        "probe_timeout": 1,
        "users": users or {"source": "none"},
        "counters_dir": str(counters),
        "textfile": str(root / "headroom.prom"),
        "helper": [],
    }


def metrics(config: dict) -> dict[str, dict[tuple, float]]:
    """Name of each sample in the file -> labels -> value, as Prometheus' own client reads it."""
    found: dict[str, dict[tuple, float]] = {}
    for family in parser.text_string_to_metric_families(Path(config["textfile"]).read_text()):
        for one in family.samples:
            assert tuple(sorted(one.labels.items())) not in found.get(one.name, {}), f"{one.name} twice"
            found.setdefault(one.name, {})[tuple(sorted(one.labels.items()))] = one.value
    return found


def labels(service: str) -> tuple:
    return (("container", f"deploy-{service}-1"), ("project", "deploy"), ("service", service))


def test_what_prometheus_reads(tmp_path):
    config = host(tmp_path, source="command", command=["echo", "7"])
    Sampler(config, NOON, 0.0).take(NOON, 0.0)
    found = metrics(config)
    assert set(found) <= set(METRICS)
    assert found["headroom_container_memory_working_set_bytes"][labels("bot")] == 200_000_000
    assert found["headroom_container_memory_working_set_bytes"][labels('odd"\\name')] == 300_000_000
    assert found["headroom_container_memory_limit_bytes"] == {labels("api"): 125829120}
    assert found["headroom_container_oom_kills_total"][labels("api")] == 6
    assert found["headroom_container_healthy"] == {labels("api"): 0, labels('odd"\\name'): 1}
    assert found["headroom_container_restarts_total"][labels("bot")] == 2
    assert found["headroom_host_memory_bytes"][()] == 3_000_000 * 1024
    assert found["headroom_host_cpu_seconds_total"][()] == 7.0
    assert found["headroom_host_waiting_seconds_total"] == {(("resource", "memory"),): 2.5}
    assert list(found["headroom_host_disk_bytes"]) == [(("mountpoint", "/"),)]
    assert found["headroom_probe_up"][(("service", "api"),)] == 0
    assert found["headroom_probe_errors_total"][(("service", "api"),)] == 1
    assert found["headroom_service_errors_total"][(("service", "api"),)] == 3
    assert found["headroom_active_users"] == {(("window", one),): 7 for one in ("5m", "1h", "24h")}
    assert "secret" not in Path(config["textfile"]).read_text()
    assert Path(config["textfile"]).stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.glob("headroom.prom*")] == ["headroom.prom"]


def test_every_metric_is_named_as_prometheus_wants_it():
    for name, (kind, explained, _labels) in METRICS.items():
        assert name.endswith("_total") == (kind == "counter"), name
        assert explained.endswith(".") and "\n" not in explained
        assert not any(word in name for word in ("_ms", "_kib", "percent", "milli")), name


def test_a_container_that_is_gone_leaves_no_figures(tmp_path):
    config, sampler = begun(tmp_path)
    shutil.rmtree(tmp_path / "sys/docker" / f"{1:064x}")
    sampler.take(NOON + 15, 15.0)
    found = metrics(config)
    assert labels("api") not in found["headroom_container_memory_working_set_bytes"]
    assert found["headroom_container_running"][labels("api")] == 0
    shutil.rmtree(tmp_path / "docker/containers" / f"{1:064x}")
    sampler.take(NOON + 30, 30.0)
    assert labels("api") not in metrics(config)["headroom_container_running"]


OOM = [name for name, _rule in record.COLUMNS["c"]].index("oom_kills")


def recorded(config: dict) -> list[dict]:
    """What each sample of the finest tier says about the API's container."""
    (path,) = Path(config["state_dir"], "samples").glob("0015-*")
    api = ("c", "deploy/api/deploy-api-1")
    return [one[api] for _at, one in samples(path.read_bytes(), 0) if api in one]


def engine_says(root: Path, **changes: object) -> None:
    """The engine writes the API container's file anew."""
    path = root / "docker/containers" / f"{1:064x}" / "config.v2.json"
    described = json.loads(path.read_text())
    described["RestartCount"] = changes.pop("restarts", described["RestartCount"])
    described["State"].update(changes)
    path.write_text(json.dumps(described))
    os.utime(path, ns=(1, time.monotonic_ns()))


def test_a_container_whose_first_process_was_killed_and_restarted(tmp_path):
    """Its cgroup went with the process; the engine has forgotten; the host's count has not."""
    config, sampler = begun(tmp_path)
    (tmp_path / "proc/vmstat").write_text("oom_kill 7\n")
    (tmp_path / "sys/docker" / f"{1:064x}" / "memory.events").write_text("oom_kill 0\n")
    engine_says(tmp_path, restarts=2)
    sampler.take(NOON + 15, 15.0)
    sampler.take(NOON + 30, 30.0)
    assert [values[OOM] for values in recorded(config)] == [None, 1, 0]
    assert metrics(config)["headroom_container_oom_kills_total"][labels("api")] == 1


def test_a_container_that_was_killed_and_stays_down(tmp_path):
    config, sampler = begun(tmp_path)
    engine_says(tmp_path, Running=False, OOMKilled=True)
    sampler.take(NOON + 15, 15.0)
    sampler.take(NOON + 30, 30.0)
    assert [values[OOM] for values in recorded(config)] == [None, 1]
    assert metrics(config)["headroom_container_oom_kills_total"][labels("api")] == 1


def begun(root: Path) -> tuple:
    """A host whose sampler has taken its first sample, at noon; its configuration and the sampler."""
    config = host(root)
    sampler = Sampler(config, NOON, 0.0)
    sampler.take(NOON, 0.0)
    return config, sampler


def new_container(root: Path, kills: int, **state: object) -> None:
    """Compose has made the API's container anew; its cgroup is there with the first kills."""
    old, new = (root / "docker/containers" / f"{number:064x}" for number in (1, 9))
    described = json.loads((old / "config.v2.json").read_text())
    described["State"].update(state)
    described["RestartCount"] = 0
    shutil.rmtree(old)
    new.mkdir()
    (new / "config.v2.json").write_text(json.dumps(described))
    group = root / "sys/docker" / f"{1:064x}"
    (group / "memory.events").write_text(f"oom_kill {kills}\n")
    group.rename(root / "sys/docker" / f"{9:064x}")
    (root / "proc/1/cgroup").write_text(f"0::/docker/{9:064x}\n")


def test_kills_of_a_new_containers_first_seconds_count(tmp_path):
    config, sampler = begun(tmp_path)
    new_container(tmp_path, kills=3)
    sampler.take(NOON + 15, 15.0)
    sampler.take(NOON + 30, 30.0)
    assert [values[OOM] for values in recorded(config)] == [None, 3, 0]


def test_a_new_container_that_was_killed_and_stays_down(tmp_path):
    config, sampler = begun(tmp_path)
    new_container(tmp_path, kills=0, Running=False, OOMKilled=True)
    for more in (15, 30, 45):
        sampler.take(NOON + more, float(more))
    assert [values[OOM] for values in recorded(config)] == [None, 1]


def test_a_container_that_was_down_at_a_sample_goes_on_from_what_it_had_counted(tmp_path):
    config = host(tmp_path)
    engine_says(tmp_path, restarts=40)
    sampler = Sampler(config, NOON, 0.0)
    sampler.take(NOON, 0.0)
    engine_says(tmp_path, Running=False)
    sampler.take(NOON + 15, 15.0)
    (tmp_path / "sys/docker" / f"{1:064x}" / "memory.events").write_text("oom_kill 2\n")
    engine_says(tmp_path, Running=True, restarts=41)
    sampler.take(NOON + 30, 30.0)
    assert [(values[OOM], values[OOM + 1]) for values in recorded(config)] == [(None, None), (2, 1)]


def test_a_container_that_was_down_at_the_first_sample_has_no_history(tmp_path):
    config = host(tmp_path)
    engine_says(tmp_path, Running=False, OOMKilled=True, restarts=40)
    sampler = Sampler(config, NOON, 0.0)
    sampler.take(NOON, 0.0)
    engine_says(tmp_path, Running=True, restarts=41)
    sampler.take(NOON + 15, 15.0)
    assert [(values[OOM], values[OOM + 1]) for values in recorded(config)] == [(None, None)]


def test_a_restart_without_a_kill_is_no_kill(tmp_path):
    config, sampler = begun(tmp_path)
    engine_says(tmp_path, restarts=5)
    sampler.take(NOON + 15, 15.0)
    # A child's kill is in the container's own count: it is not counted twice.
    (tmp_path / "proc/vmstat").write_text("oom_kill 7\n")
    (tmp_path / "sys/docker" / f"{1:064x}" / "memory.events").write_text("oom_kill 7\n")
    engine_says(tmp_path, restarts=6)
    sampler.take(NOON + 30, 30.0)
    assert [values[OOM] for values in recorded(config)] == [None, 0, 1]


def test_a_source_that_stops_answering_is_said_once_and_its_old_figures_go(tmp_path, capsys):
    answer = tmp_path / "answer"
    answer.write_text("7\n")
    config = host(tmp_path, source="command", command=["cat", str(answer)])
    sampler = Sampler(config, NOON, 0.0)
    sampler.take(NOON, 0.0)
    answer.unlink()
    for more in (60, 120, 180):
        sampler.take(NOON + more, float(more))
    found = metrics(config)
    assert found["headroom_users_source_up"][()] == 0
    assert "headroom_active_users" not in found
    assert capsys.readouterr().err.count("Active users are not known: cat failed") == 1
    answer.write_text("8\n")
    sampler.take(NOON + 240, 240.0)
    assert metrics(config)["headroom_active_users"][(("window", "5m"),)] == 8


def test_metrics_that_cannot_be_written_are_counted_and_do_not_end_the_sampler(tmp_path, capsys):
    config = {**host(tmp_path), "textfile": str(tmp_path / "missing/headroom.prom")}
    sampler = Sampler(config, NOON, 0.0)
    sampler.take(NOON, 0.0)
    assert sampler.store.errors == 1
    assert "could not be written" in capsys.readouterr().err


def test_growth_carries_what_rounding_left_over():
    counters = Counters()
    rules = {"cpu_us": ("cpu_ms", 1000)}
    grown = []
    for used in (0, 600, 1200, 1800, 2400, 3000):
        grown.append(counters.grown("c", "api", {"cpu_us": used}, rules)["cpu_ms"])
        counters.next()
    assert grown[0] is None
    assert sum(grown[1:]) == 3


def test_the_address_of_a_compose_service(tmp_path):
    known = Sampler(host(tmp_path), NOON, 0.0)._containers.refresh()
    assert address({"host": "10.0.0.1"}, known) == "10.0.0.1"
    assert address({"service": "bot"}, known) == "172.18.0.2"
    assert address({"service": "bot", "project": "deploy"}, known) == "172.18.0.2"
    with pytest.raises(SourceError, match="no running container"):
        address({"service": "bot", "project": "other"}, known)


def memory_of(pid: int) -> dict[str, int]:
    """KiB of a process, from the kernel: VmRSS, VmHWM, Pss."""
    text = Path(f"/proc/{pid}/status").read_text() + Path(f"/proc/{pid}/smaps_rollup").read_text()
    named = (line.split() for line in text.splitlines() if line.startswith(("VmRSS:", "VmHWM:", "Pss:")))
    return {words[0][:-1]: int(words[1]) for words in named}


@pytest.mark.skipif(not os.access(SYSTEM_PYTHON, os.X_OK), reason="no Python of the system's own here")
def test_ten_megabytes_and_half_a_percent_of_a_core(tmp_path, files):
    """The process as the service starts it, on the machine's own containers where it has an engine."""
    config = {**host(tmp_path), "proc": "/proc", "cgroup_root": "/sys/fs/cgroup", "interval": 1}
    if os.path.isdir("/var/lib/docker/containers"):
        config["docker_root"] = "/var/lib/docker"
    path = tmp_path / "sampler.json"
    path.write_text(json.dumps(config))
    argv = [SYSTEM_PYTHON, "-I", "-S", "-X", f"pycache_prefix={tmp_path}/code", str(files / "start.py"), str(path)]
    unit = (files.parent / "templates/headroom-sampler.service.j2").read_text()
    (settings,) = [line for line in unit.splitlines() if line.startswith("Environment=")]
    environment = dict(word.split("=") for word in settings.partition("=")[2].split())
    subprocess.run([*argv, "check"], env=environment, check=True)
    sampler = subprocess.Popen([*argv[:3], "-B", *argv[3:]], env=environment)
    try:
        for _unused in range(100):
            with contextlib.suppress(OSError):
                if "headroom_sampler_samples_total 12\n" in Path(config["textfile"]).read_text():
                    break
            time.sleep(0.5)
        used = memory_of(sampler.pid)
        found = metrics(config)
    finally:
        sampler.terminate()
        sampler.wait()
    assert used["Pss"] <= 10 * 1024
    asked = [SYSTEM_PYTHON, "-c", "import sys; print(sys.version_info >= (3, 12))"]
    new = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip() == "True"
    # A bare CPython 3.12 takes 9.4 MB of VmRSS before its first line.
    assert used["VmHWM"] <= (11 if new else 10) * 1024
    samples = found["headroom_sampler_samples_total"][()]
    assert samples >= 12
    assert found["headroom_sampler_cpu_seconds_total"][()] / samples / 15 < 0.005
