# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One look at everything: the figures go to the store and to the metrics."""

from __future__ import annotations

import posix
import sys
import time

from headroom_sampler import kernel, probe, record, users
from headroom_sampler.containers import Container, Containers
from headroom_sampler.files import content, growth
from headroom_sampler.metrics import Metrics, publish
from headroom_sampler.store import Store

KIB = 1024

# Counters of a container and of the host whose growth is recorded: figure -> (column, divisor).
CONTAINER_GROWTH = {
    "cpu_us": ("cpu_ms", 1000),
    "throttled_us": ("throttled_ms", 1000),
    "waiting_us": ("waiting_ms", 1000),
    "oom_kills": ("oom_kills", 1),
    "restarts": ("restarts", 1),
}
HOST_GROWTH = {
    "cpu_us": ("cpu_ms", 1000),
    "cpu_waiting_us": ("cpu_waiting_ms", 1000),
    "memory_waiting_us": ("memory_waiting_ms", 1000),
    "io_waiting_us": ("io_waiting_ms", 1000),
    "oom_kills": ("oom_kills", 1),
}
CONTAINER_MEMORY = ("working_set", "anon", "shared", "kernel", "cache", "swap", "limit", "peak")


def say(message: str) -> None:
    """One line for the journal."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


class Counters:
    """Remembers counters from one sample to the next, and gives their growth."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], dict[str, int | None]] = {}
        self._now: dict[tuple[str, str], dict[str, int | None]] = {}

    def grown(
        self, kind: str, key: str, figures: dict, rules: dict[str, tuple[str, int]], begun: int | None = None
    ) -> dict[str, int | None]:
        """Column -> growth since the sample before, at the first sight of the thing since `begun` (None: not known)."""
        now = {name: figures.get(name) for name in rules}
        before = self._before.get((kind, key), {})
        self._now[kind, key] = now
        found = {}
        for name, (column, divisor) in rules.items():
            grown = growth(before.get(name, begun), now[name])
            found[column] = None if grown is None else grown // divisor
            if grown is not None and divisor > 1:
                now[name] -= grown % divisor  # What is lost in rounding counts the next time.
        return found

    def keep(self, kind: str, key: str) -> None:
        """The thing is known and has no figures now: the next ones are held against the last."""
        if (kind, key) in self._before:
            self._now[kind, key] = self._before[kind, key]

    def next(self) -> None:
        """The sample is complete; what was not seen in it is forgotten."""
        self._before, self._now = self._now, {}


class Sampler:
    """Takes samples as the configuration says (see the role's template for its fields)."""

    def __init__(self, config: dict, now: float, moment: float) -> None:
        self.config = config
        self.store = Store(config["state_dir"] + "/samples", config["interval"], config["most_bytes"])
        self.store.resume(int(now))
        self._containers = Containers(config["docker_root"])
        self._counters = Counters()
        self._groups: dict[tuple[str, int], tuple[int, dict[str, str]]] = {}
        self._running: set[str] = set()
        # Containers of the first sample: what they had counted before it is of another time.
        self._old: set[str] = set()
        # Kills that a container's cgroup took with it: the kernel counts in a group that ends with its first process.
        self._killed: dict[str, int] = {}
        self._moment: float = moment
        self._probes: dict[str, list[int]] = {}
        self._users: dict[str, int] = {}
        self._users_due: dict[str, float] = {}
        self._users_up = True
        self._from_log: dict[str, float] = {}
        self._taken = 0

    def take(self, now: float, moment: float) -> None:
        """Take one sample at `now` (seconds since the epoch), `moment` on the clock that never jumps."""
        sample: record.Sample = {}
        metrics = Metrics()
        span = int((moment - self._moment) * 1000) if self._taken else None
        self._moment = moment
        mounted = kernel.mounts(content(self.config["proc"] + "/self/mountinfo"), self.config["cgroup_root"])
        known = self._containers.refresh()
        restarted = self._look_at_containers(known, mounted, span, sample, metrics)
        self._look_at_host(mounted, span, sample, metrics)
        for identity, key in killed_with_their_group(sample, restarted):
            count_kill(sample["c", key])
            self._killed[identity] = self._killed.get(identity, 0) + 1
        self._look_at_users(known, now, moment, sample, metrics)
        self._look_at_services(span, sample, metrics)
        self._counters.next()
        self.store.add(int(now), sample)
        self._taken += 1
        self._look_at_itself(now, metrics)
        self._publish(metrics)

    def _look_at_containers(
        self, known: list[Container], mounted: dict, span: int | None, sample: record.Sample, metrics: Metrics
    ) -> list[tuple[str, str]]:
        """Returns (id, key) of those that have been restarted since the sample before."""
        groups, running, restarted = {}, set(), []
        if not self._taken:
            self._old = {one.id for one in known}
        for one in known:
            labels = (one.project, one.service, one.name)
            key = "/".join(labels)
            found = self._group(one, mounted)
            groups[one.id, one.pid] = found
            figures = kernel.container(*found)
            metrics.set("headroom_container_running", int(figures is not None), *labels)
            metrics.set("headroom_container_restarts_total", one.restarts, *labels)
            if figures is None:
                self._counters.keep("c", one.id)
                never_seen = one.id not in self._old and one.id not in self._killed
                if one.oom_killed and (never_seen or one.id in self._running):
                    self._killed[one.id] = self._killed.get(one.id, 0) + 1
                    sample["c", key] = record.values("c", {"oom_kills": 1})
                metrics.set("headroom_container_oom_kills_total", self._killed.get(one.id), *labels)
                continue
            running.add(one.id)
            figures["restarts"] = one.restarts
            self._export_container(figures, one, labels, metrics)
            values = {f"{name}_kib": in_kib(figures[name]) for name in CONTAINER_MEMORY}
            begun = None if one.id in self._old else 0
            values.update(self._counters.grown("c", one.id, figures, CONTAINER_GROWTH, begun))
            values.update(span_ms=span, tasks=figures["tasks"], health=one.health)
            if values["restarts"]:
                restarted.append((one.id, key))
            sample["c", key] = record.values("c", values)
        self._groups, self._running = groups, running
        self._killed = {one.id: self._killed[one.id] for one in known if one.id in self._killed}
        return restarted

    def _group(self, one: Container, mounted: dict) -> tuple[int, dict[str, str]]:
        """Version and folders of the container's cgroup, looked up once for each of its starts."""
        found = self._groups.get((one.id, one.pid), (0, {}))
        if one.pid and not found[0]:
            found = kernel.folders(content(f"{self.config['proc']}/{one.pid}/cgroup"), one.id, mounted)
        return found

    def _export_container(self, figures: dict, one: Container, labels: tuple[str, str, str], metrics: Metrics) -> None:
        for name in CONTAINER_MEMORY:
            metrics.set(f"headroom_container_memory_{name}_bytes", figures[name], *labels)
        metrics.set("headroom_container_memory_waiting_seconds_total", in_seconds(figures["waiting_us"]), *labels)
        metrics.set("headroom_container_cpu_seconds_total", in_seconds(figures["cpu_us"]), *labels)
        metrics.set("headroom_container_cpu_throttled_seconds_total", in_seconds(figures["throttled_us"]), *labels)
        metrics.set("headroom_container_tasks", figures["tasks"], *labels)
        kills = (figures["oom_kills"] or 0) + self._killed.get(one.id, 0)
        metrics.set("headroom_container_oom_kills_total", kills, *labels)
        metrics.set("headroom_container_healthy", int(one.health == 1) if one.health else None, *labels)

    def _look_at_host(self, mounted: dict, span: int | None, sample: record.Sample, metrics: Metrics) -> None:
        figures = kernel.host(self.config["proc"], mounted)
        values = {
            "span_ms": span,
            "memory_kib": in_kib(figures["memory"]),
            "used_kib": in_kib((figures["memory"] or 0) - (figures["available"] or 0)),
            "swap_kib": in_kib(figures["swap"]),
            "swap_used_kib": in_kib(figures["swap_used"]),
            "cpus": figures["cpus"],
        }
        values.update(self._counters.grown("h", "host", figures, HOST_GROWTH))
        sample["h", "host"] = record.values("h", values)
        metrics.set("headroom_host_memory_bytes", figures["memory"])
        metrics.set("headroom_host_memory_available_bytes", figures["available"])
        metrics.set("headroom_host_swap_bytes", figures["swap"])
        metrics.set("headroom_host_swap_used_bytes", figures["swap_used"])
        metrics.set("headroom_host_cpu_seconds_total", in_seconds(figures["cpu_us"]))
        metrics.set("headroom_host_cpus", figures["cpus"])
        for kind in ("cpu", "memory", "io"):
            metrics.set("headroom_host_waiting_seconds_total", in_seconds(figures[kind + "_waiting_us"]), kind)
        metrics.set("headroom_host_oom_kills_total", figures["oom_kills"])
        for path in self.config["disks"]:
            try:
                seen = kernel.disk(path)
            except OSError:
                continue
            sizes = {"size_kib": in_kib(seen["size"]), "used_kib": in_kib(seen["size"] - seen["available"])}
            sample["d", path] = record.values("d", sizes)
            metrics.set("headroom_host_disk_bytes", seen["size"], path)
            metrics.set("headroom_host_disk_available_bytes", seen["available"], path)

    def _look_at_users(
        self, known: list[Container], now: float, moment: float, sample: record.Sample, metrics: Metrics
    ) -> None:
        source = self.config["users"]
        if source["source"] == "none":
            return
        # A long window changes slowly and costs its source more: it is asked for each 288th of it, and once a minute
        # at most.
        due = [name for name, span in users.WINDOWS.items() if moment >= self._users_due.get(name, moment)]
        if due:
            for name in due:
                self._users_due[name] = moment + max(60, users.WINDOWS[name] // 288) - 0.5
            try:
                self._ask_for_users(source, due, known, int(now))
                if not self._users_up:
                    say("The source of the active users answers again.")
                self._users_up = True
            except (users.SourceError, OSError) as error:
                if self._users_up:
                    say(f"Active users are not known: {error}")
                self._users_up, self._users = False, {}
        metrics.set("headroom_users_source_up", int(self._users_up))
        for window, count in self._users.items():
            metrics.set("headroom_active_users", count, window)
        if self._users:
            counted = {f"users_{window}": count for window, count in self._users.items()}
            sample["u", "users"] = record.values("u", counted)

    def _ask_for_users(self, source: dict, due: list[str], known: list[Container], now: int) -> None:
        if source["source"] == "redis":
            self._users.update(users.from_redis(source, due, now, address(source, known)))
        elif source["source"] == "command":
            self._users.update(users.from_command(source, due))
        elif "5m" in due:
            argv = [*self.config["helper"], "access-log"]
            self._from_log = users.named_numbers(users.run(argv, {}, 10.0))
            self._users = {name: int(self._from_log.get(f"users_{name}", 0)) for name in users.WINDOWS}

    def _look_at_services(self, span: int | None, sample: record.Sample, metrics: Metrics) -> None:
        known: dict[str, dict[str, int | None]] = {}
        for entry in self.config["probes"]:
            known.setdefault(entry["service"], {"span_ms": span}).update(self._probe(entry, metrics))
        counted = {}
        if self._from_log and self.config["users"].get("service"):
            counted[self.config["users"]["service"]] = self._from_log
        try:
            for name in posix.listdir(self.config["counters_dir"]):
                if not name.startswith("."):
                    text = content(f"{self.config['counters_dir']}/{name}").decode("utf-8", "replace")
                    counted[name] = users.named_numbers(text)
        except OSError:
            pass  # No service counts for us yet.
        for name, numbers in counted.items():
            figures = {
                "requests": int(numbers.get("requests", 0)),
                "errors": int(numbers.get("errors", 0)),
                "request_ms": int(numbers.get("request_seconds", 0) * 1000),
            }
            metrics.set("headroom_service_requests_total", figures["requests"], name)
            metrics.set("headroom_service_errors_total", figures["errors"], name)
            metrics.set("headroom_service_request_seconds_total", figures["request_ms"] / 1000, name)
            rules = {column: (column, 1) for column in figures}
            known.setdefault(name, {"span_ms": span}).update(self._counters.grown("s", name, figures, rules))
        for name, values in known.items():
            sample["s", name] = record.values("s", values)

    def _probe(self, entry: dict, metrics: Metrics) -> dict[str, int | None]:
        name = entry["service"]
        good, seconds = probe.probe(entry["url"], self.config["probe_timeout"])
        total = self._probes.setdefault(name, [0, 0])
        total[0] += 1
        total[1] += not good
        metrics.set("headroom_probe_up", int(good), name)
        metrics.set("headroom_probe_duration_seconds", round(seconds, 6), name)
        metrics.set("headroom_probe_requests_total", total[0], name)
        metrics.set("headroom_probe_errors_total", total[1], name)
        took = int(seconds * 1000 + 0.5)
        return {"probes": 1, "probe_errors": int(not good), "probe_ms": took, "probe_max_ms": took}

    def _look_at_itself(self, now: float, metrics: Metrics) -> None:
        pages = content(self.config["proc"] + "/self/statm").split()
        spent = posix.times()
        metrics.set("headroom_sampler_resident_memory_bytes", int(pages[1]) * 4096 if len(pages) > 1 else None)
        metrics.set("headroom_sampler_cpu_seconds_total", round(sum(spent[:4]), 3))
        metrics.set("headroom_sampler_samples_total", self._taken)
        metrics.set("headroom_sampler_write_errors_total", self.store.errors)
        metrics.set("headroom_sampler_last_sample_timestamp_seconds", round(now, 3))

    def _publish(self, metrics: Metrics) -> None:
        try:
            publish(self.config["textfile"], metrics.text())
        except OSError as error:
            self.store.errors += 1
            say(f"The metrics could not be written to {self.config['textfile']}: {error.strerror}")


def in_kib(size: int | None) -> int | None:
    """Bytes as whole KiB."""
    return None if size is None else size // KIB


def in_seconds(microseconds: int | None) -> float | None:
    """Microseconds as seconds."""
    return None if microseconds is None else microseconds / 1e6


def killed_with_their_group(sample: record.Sample, restarted: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of the restarted whose first process the kernel killed for want of memory.

    The engine clears its own note of it at the restart, and the cgroup that counted the kill is gone; but the kernel's
    count for the whole host has then grown by more than the containers' own counts.
    """
    place = [name for name, _unused in record.COLUMNS["c"]].index("oom_kills")
    seen = sum(values[place] or 0 for (kind, _unused), values in sample.items() if kind == "c")
    on_host = sample["h", "host"][-1] or 0
    return restarted[: max(0, on_host - seen)]


def count_kill(values: record.Values) -> None:
    """Add one kill to a container's values."""
    place = [name for name, _unused in record.COLUMNS["c"]].index("oom_kills")
    values[place] = (values[place] or 0) + 1


def address(source: dict, known: list[Container]) -> str:
    """Where Redis listens: the host named, or the address of the Compose service's container."""
    if not source.get("service"):
        return source.get("host", "127.0.0.1")
    for one in known:
        if one.service == source["service"] and one.project == source.get("project", one.project) and one.addresses:
            return one.addresses[0]
    raise users.SourceError(f"service {source['service']} has no running container with an address of its own")


def run(config: dict) -> None:
    """Take samples until the process is ended. A signal may end it anywhere: no write leaves half a file behind."""
    sampler = Sampler(config, time.time(), time.monotonic())
    due = time.monotonic()
    while True:
        sampler.take(time.time(), time.monotonic())
        due = max(due + config["interval"], time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
