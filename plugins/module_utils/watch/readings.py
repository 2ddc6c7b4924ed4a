# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Readings of a running stack as plain data: containers (engine and kernel), a Redis with its RQ queues, the host."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import cgroup
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.queues import KeySource

_DEPENDS_ON = "com.docker.compose.depends_on"
_CHECK_INTERVAL = 30.0  # seconds, the engine's default (Dockerfile reference, HEALTHCHECK)
_OUTPUT = 160  # characters of a health check's words that are worth repeating
_MANY = 200  # queues or workers looked at


def one_shots(containers: list[Container]) -> set[str]:
    """Services that others wait for to complete (service_completed_successfully): they are meant to end."""
    found = set()
    for container in containers:
        for entry in container.labels.get(_DEPENDS_ON, "").split(","):
            name, _colon, condition = entry.partition(":")
            if condition.startswith("service_completed_successfully"):
                found.add(name)
    return found


def container_reading(container: Container, one_shot: bool, now: float, proc: str = "/proc") -> dict[str, Any]:
    """One container as the engine and the kernel know it. Bytes, seconds; None where the kernel cannot be asked."""
    state = container.data["State"]
    health = state.get("Health") or {}
    log = health.get("Log") or []
    check = container.data["Config"].get("Healthcheck") or {}
    status = str(state.get("Status") or ("running" if state.get("Running") else "exited"))
    interval = (check.get("Interval") or 0) / 1e9 or _CHECK_INTERVAL
    return {
        "id": container.id,
        "name": container.name,
        "service": container.service,
        "state": status,
        "exit_code": int(state.get("ExitCode") or 0),
        "oom_killed": bool(state.get("OOMKilled")),
        "started_at": str(state.get("StartedAt") or ""),
        "age": max(0.0, now - container.started),
        "restarts": container.restarts,
        "policy": str((container.host_config.get("RestartPolicy") or {}).get("Name") or "no"),
        "one_shot": one_shot,
        "health": health.get("Status") if health.get("Status") != "none" else None,
        "failing_streak": int(health.get("FailingStreak") or 0),
        "health_output": " ".join(str(log[-1].get("Output") or "").split())[:_OUTPUT] if log else "",
        "check_interval": interval if health else None,
        **kernel_reading(container, proc),
        **network_reading(container, proc),
    }


def kernel_reading(container: Container, proc: str = "/proc", sys_root: str = "/sys/fs/cgroup") -> dict[str, Any]:
    """The kernel's counters of a container; all None for one that does not run (any more)."""
    fields = ("oom_kills", "working_set", "unreclaimable", "limit", "limit_hits", "pressure", "cpu_seconds")
    try:
        group = cgroup.find(container.pid, container.id, proc, sys_root) if container.pid else None
        memory = cgroup.memory(group) if group else None
    except cgroup.CgroupError:
        group = memory = None
    if group is None or memory is None:
        return dict.fromkeys(fields)
    return {
        "oom_kills": memory.oom_kills,
        "working_set": memory.working_set,
        "unreclaimable": memory.anon + memory.shared + memory.kernel,
        "limit": memory.limit,
        "limit_hits": memory.limit_hits,
        "pressure": cgroup.pressure(group),
        "cpu_seconds": round(cgroup.activity(group).cpu_seconds, 3),
    }


def network_reading(container: Container, proc: str = "/proc") -> dict[str, Any]:
    """Connections accepted and bytes moved in a container's own network since it started; None where it has none."""
    none = {"connections": None, "network_bytes": None}
    mode = str(container.host_config.get("NetworkMode") or "")
    if not container.pid or mode == "host" or mode.startswith("container:"):
        return none
    folder = os.path.join(proc, str(container.pid), "net")
    snmp, dev = cgroup.read_text(os.path.join(folder, "snmp")), cgroup.read_text(os.path.join(folder, "dev"))
    if snmp is None or dev is None:
        return none
    return {"connections": tcp_accepted(snmp), "network_bytes": moved_bytes(dev)}


def tcp_accepted(snmp: str) -> int:
    """PassiveOpens of /proc/net/snmp (RFC 1213 tcpPassiveOpens): connections that were accepted."""
    lines = [line.split() for line in snmp.splitlines() if line.startswith("Tcp:")]
    return int(dict(zip(*lines))["PassiveOpens"]) if len(lines) == 2 else 0


def moved_bytes(dev: str) -> int:
    """Bytes received and sent by all interfaces but the loopback, from /proc/net/dev."""
    total = 0
    for line in dev.splitlines():
        name, colon, rest = line.partition(":")
        fields = rest.split()
        if colon and name.strip() != "lo" and len(fields) >= 9:
            total += int(fields[0]) + int(fields[8])
    return total


def host_reading(proc: str = "/proc") -> dict[str, Any]:
    """Memory pressure of the host (None where the kernel keeps none) and the bytes that are available."""
    pressure = cgroup.host_pressure(proc)
    return {"pressure": pressure, "available": cgroup.host_memory(proc).available}


def event(raw: Mapping[str, Any], since: float) -> dict[str, Any]:
    """One event of the engine. `after`: seconds since the look before it."""
    attributes = (raw.get("Actor") or {}).get("Attributes") or {}
    code = str(attributes.get("exitCode", ""))
    return {
        "id": raw.get("id") or (raw.get("Actor") or {}).get("ID", ""),
        "action": str(raw.get("Action") or raw.get("status") or ""),
        "service": attributes.get("com.docker.compose.service", ""),
        "exit_code": int(code) if code.isdigit() else None,
        "after": round(raw.get("timeNano", 0) / 1e9 - since, 3),
    }


# Redis and RQ


def redis_reading(source: KeySource, info: Mapping[str, Any], service: str, purpose: str) -> dict[str, Any]:
    """Counters of a Redis, and of its RQ queues where it has any (`rq` is None else). Raises what `source` raises."""
    errors = {
        str(name)[len("errorstat_") :]: _count(value)
        for name, value in info.items()
        if str(name).startswith("errorstat_")
    }
    queues = rq_reading(source)
    return {
        "service": service,
        "purpose": "queue" if queues and purpose not in ("cache", "mixed") else purpose,
        "run_id": str(info.get("run_id", "")),
        "uptime": int(info.get("uptime_in_seconds", 0)),
        "used_memory": int(info.get("used_memory", 0)),
        "not_counted": int(info.get("mem_not_counted_for_evict", 0)),
        "maxmemory": int(info.get("maxmemory", 0)),
        "policy": str(info.get("maxmemory_policy", "")),
        "evicted_keys": int(info.get("evicted_keys", 0)),
        "rejected_connections": int(info.get("rejected_connections", 0)),
        "maxclients": int(info.get("maxclients", 0)),
        "errors": errors,
        "rq": queues,
    }


def _count(value: Any) -> int:
    """The number in INFO's `count=5`: a dictionary from redis-py 5 on, the text itself in redis-py 4."""
    fields = value if isinstance(value, Mapping) else dict(pair.partition("=")[::2] for pair in str(value).split(","))
    return int(fields.get("count", 0))


def rq_reading(source: KeySource) -> dict[str, Any] | None:
    """Workers and registries of RQ in the selected database, or None without any."""
    members, queues, suspended = source.run_all(
        [("SMEMBERS", "rq:workers"), ("SMEMBERS", "rq:queues"), ("EXISTS", "rq:suspended")]
    )
    keys = sorted(_names(members))[:_MANY]
    names = sorted(_after(key, "rq:queue:") for key in _names(queues))[:_MANY]
    if not keys and not names:
        return None
    workers = dict(_workers(source, keys))
    names = sorted({*names, *(queue for worker in workers.values() for queue in worker["queues"])})
    counted = source.run_all(
        [(command, key + name) for name in names for command, key in (("LLEN", "rq:queue:"), ("ZCARD", "rq:failed:"))]
    )
    numbers = [count if isinstance(count, int) else 0 for count in counted]
    return {
        "workers": workers,
        "waiting": dict(zip(names, numbers[0::2])),
        "failed": dict(zip(names, numbers[1::2])),
        "suspended": bool(suspended and not isinstance(suspended, Exception)),
    }


def _names(answer: Any) -> list[str]:
    return [] if isinstance(answer, Exception) else [str(name) for name in answer or ()]


def _after(key: str, prefix: str) -> str:
    return key[len(prefix) :] if key.startswith(prefix) else key


_FIELDS = ("birth", "last_heartbeat", "state", "queues", "successful_job_count", "failed_job_count", "death")


def _workers(source: KeySource, keys: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    names = [_after(key, "rq:worker:") for key in keys]
    hashes = source.run_all([("HMGET", key, *_FIELDS) for key in keys])
    # One answer for all: channel, listeners, channel, listeners, ...
    heard = source.run_all([("PUBSUB", "NUMSUB", *(f"rq:pubsub:{name}" for name in names))]) if names else []
    pairs = heard[0] if heard and not isinstance(heard[0], Exception) else []
    flat = [word for pair in pairs for word in pair] if pairs and isinstance(pairs[0], (tuple, list)) else list(pairs)
    listeners = {_after(str(channel), "rq:pubsub:"): int(count) for channel, count in zip(flat[0::2], flat[1::2])}
    for name, answer in zip(names, hashes):
        values = [None] * len(_FIELDS) if isinstance(answer, Exception) else list(answer)
        birth, heartbeat, state, queues, done, failed, death = values
        yield (
            name,
            {
                "registered": True,
                "alive": birth is not None and death is None,
                "birth": birth or "",
                "heartbeat": heartbeat or "",
                "state": state or "?",
                "queues": [queue for queue in (queues or "").split(",") if queue],
                "done": int(done or 0),
                "failed": int(failed or 0),
                "listeners": listeners.get(name, 0),
            },
        )
