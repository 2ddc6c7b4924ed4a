# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The metrics as Prometheus text, for the textfile collector of node_exporter.

Format and naming: prometheus.io "Exposition formats" and "Metric and label naming" (base units, `_total` for
counters, units in the name).
"""

from __future__ import annotations

import posix

CONTAINER = ("project", "service", "container")

# name -> (type, help, names of the labels)
METRICS = {
    "headroom_container_memory_working_set_bytes": ("gauge", "Memory in use without inactive file cache.", CONTAINER),
    "headroom_container_memory_anon_bytes": ("gauge", "Anonymous memory.", CONTAINER),
    "headroom_container_memory_shared_bytes": ("gauge", "Shared memory and tmpfs.", CONTAINER),
    "headroom_container_memory_kernel_bytes": ("gauge", "Memory that the kernel holds for the container.", CONTAINER),
    "headroom_container_memory_cache_bytes": ("gauge", "File cache.", CONTAINER),
    "headroom_container_memory_swap_bytes": ("gauge", "Memory in swap.", CONTAINER),
    "headroom_container_memory_limit_bytes": ("gauge", "Memory limit; absent without one.", CONTAINER),
    "headroom_container_memory_peak_bytes": ("gauge", "Most memory in use since the start, cache included.", CONTAINER),
    "headroom_container_memory_waiting_seconds_total": (
        "counter",
        "Time that some task has waited for memory (cgroup v2).",
        CONTAINER,
    ),
    "headroom_container_cpu_seconds_total": ("counter", "Processor time.", CONTAINER),
    "headroom_container_cpu_throttled_seconds_total": ("counter", "Time held back by the CPU limit.", CONTAINER),
    "headroom_container_tasks": ("gauge", "Processes and threads.", CONTAINER),
    "headroom_container_oom_kills_total": (
        "counter",
        "Processes that the kernel killed for want of memory, child processes too.",
        CONTAINER,
    ),
    "headroom_container_restarts_total": ("counter", "Restarts by the restart policy.", CONTAINER),
    "headroom_container_running": ("gauge", "1 while the container runs.", CONTAINER),
    "headroom_container_healthy": ("gauge", "1 while the health check passes; absent without one.", CONTAINER),
    "headroom_host_memory_bytes": ("gauge", "Memory of the host.", ()),
    "headroom_host_memory_available_bytes": ("gauge", "Memory that could be used without swapping.", ()),
    "headroom_host_swap_bytes": ("gauge", "Swap of the host.", ()),
    "headroom_host_swap_used_bytes": ("gauge", "Swap in use.", ()),
    "headroom_host_cpu_seconds_total": ("counter", "Processor time of all processes.", ()),
    "headroom_host_cpus": ("gauge", "Processors that may be used.", ()),
    "headroom_host_waiting_seconds_total": ("counter", "Time that some task has waited for a resource.", ("resource",)),
    "headroom_host_oom_kills_total": ("counter", "Processes that the kernel killed for want of memory.", ()),
    "headroom_host_disk_bytes": ("gauge", "Size of a file system.", ("mountpoint",)),
    "headroom_host_disk_available_bytes": ("gauge", "Free space for ordinary users.", ("mountpoint",)),
    "headroom_active_users": ("gauge", "Distinct users within the window.", ("window",)),
    "headroom_users_source_up": ("gauge", "1 while the source of the active users answers.", ()),
    "headroom_probe_up": ("gauge", "1 when the last probe was answered with 2xx or 3xx.", ("service",)),
    "headroom_probe_duration_seconds": ("gauge", "Response time of the last probe.", ("service",)),
    "headroom_probe_requests_total": ("counter", "Probes sent.", ("service",)),
    "headroom_probe_errors_total": ("counter", "Probes failed or not answered with 2xx or 3xx.", ("service",)),
    "headroom_service_requests_total": ("counter", "Requests that the service has counted.", ("service",)),
    "headroom_service_errors_total": ("counter", "Requests that failed, as the service has counted.", ("service",)),
    "headroom_service_request_seconds_total": ("counter", "Time spent on requests.", ("service",)),
    "headroom_sampler_resident_memory_bytes": ("gauge", "Resident memory of the sampler itself.", ()),
    "headroom_sampler_cpu_seconds_total": ("counter", "Processor time of the sampler and of its children.", ()),
    "headroom_sampler_samples_total": ("counter", "Samples taken.", ()),
    "headroom_sampler_write_errors_total": ("counter", "Samples that could not be recorded.", ()),
    "headroom_sampler_last_sample_timestamp_seconds": ("gauge", "When the last sample was taken.", ()),
}


class Metrics:
    """The metrics of one moment."""

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {}

    def set(self, name: str, value: float | None, *labels: str) -> None:
        """Set one metric; a value of None leaves it out. Raises KeyError for a name that METRICS does not hold."""
        named = METRICS[name][2]
        if value is not None:
            inside = ",".join(f'{label}="{escape(text)}"' for label, text in zip(named, labels))
            self._found.setdefault(name, []).append(f"{name}{{{inside}}} {value}" if inside else f"{name} {value}")

    def text(self) -> str:
        """All metrics in the exposition format."""
        lines = []
        for name, (kind, explained, _unused) in METRICS.items():
            if name in self._found:
                lines += [f"# HELP {name} {explained}", f"# TYPE {name} {kind}", *self._found[name]]
        return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """A label's value: backslash, quote and line feed escaped."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def publish(path: str, text: str) -> None:
    """Put the text in place in one step, readable for all. Raises OSError; the old text then stays."""
    fresh = f"{path}.{posix.getpid()}"  # node_exporter reads only names that end in .prom
    handle = posix.open(fresh, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o644)
    try:
        whole = text.encode()
        try:
            posix.fchmod(handle, 0o644)
            if posix.write(handle, whole) != len(whole):
                raise OSError(28, "the file system took only a part of the metrics", path)
        finally:
            posix.close(handle)
        posix.rename(fresh, path)
    except OSError:
        posix.unlink(fresh)
        raise
