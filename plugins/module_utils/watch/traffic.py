# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a stack was used enough, while it was watched, for its quiet to mean anything.

Signs of use are counted where the operator can see them too, without reading anybody's logs:

- connections that a service's containers accepted (the kernel's PassiveOpens of their network), less those of this
  watch's own probes and of the engine's health checks;
- jobs that ended;
- looks in which a container moved more data than idle programs do (long polling, heartbeats), less the probes' own:
  this sees clients that keep one connection open, and programs that only call out, like a bot. It is one sign a look
  and container however much was moved, so that one large file is not a crowd.

Redis containers do not count: their traffic is that of the other services. Nor does a container on the host's network,
whose counters are the whole host's; its jobs do. Processor time is reported and not counted: health
checks use it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.watch.rules import Thresholds

# A Telegram long poll of an idle bot and RQ's heartbeats stay below half of this (bytes/s, both directions).
_CHATTER = 1024

# What one probe moves beside the body of its answer: handshake, headers, acknowledgements, farewell (bytes).
_PROBE_OVERHEAD = 1500


def seen(
    looks: Sequence[tuple[float, Sequence[Mapping[str, Any]]]],
    answers: Sequence[Mapping[str, Any]],
    jobs: Mapping[str, tuple[int, int]],
    limits: Thresholds,
) -> dict[str, Any]:
    """Signs of use: connections, jobs, busy_looks, their sum, cpu_seconds, network_bytes, whether that is enough.

    `jobs`: (finished, failed) by Redis service; these services' containers are left out.
    """
    connections: dict[str, float] = {}
    busy, moved, cpu = 0, 0, 0.0
    for (earlier, old_look), (later, new_look) in zip(looks, looks[1:]):
        old_readings = {reading["id"]: reading for reading in old_look}
        for new in new_look:
            old = old_readings.get(new["id"])
            if new["service"] in jobs or old is None or old["started_at"] != new["started_at"]:
                continue
            cpu += max(0.0, (new["cpu_seconds"] or 0.0) - (old["cpu_seconds"] or 0.0))
            if new["connections"] is None or old["connections"] is None:
                continue
            accepted = new["connections"] - old["connections"] - _checks(new, later - earlier)
            connections[new["service"]] = connections.get(new["service"], 0.0) + accepted
            mine = [a for a in answers if a["service"] == new["service"] and earlier <= a["at"] < later]
            size = new["network_bytes"] - old["network_bytes"] - sum(_PROBE_OVERHEAD + a.get("bytes", 0) for a in mine)
            moved += max(0, size)
            busy += size > _CHATTER * (later - earlier)
    for service in connections:
        # The last probes may not be in the last look yet, so that this takes off one too many rather than one too few.
        connections[service] -= len([a for a in answers if a["service"] == service])
    accepted_total = int(sum(max(0.0, count) for count in connections.values()))
    ended = sum(finished + failed for finished, failed in jobs.values())
    signs = accepted_total + ended + busy
    return {
        "signs": signs,
        "connections": accepted_total,
        "jobs": ended,
        "busy_looks": busy,
        "network_bytes": moved,
        "cpu_seconds": round(cpu, 2),
        "needed": limits.min_traffic,
        "enough": signs >= limits.min_traffic,
    }


def _checks(reading: Mapping[str, Any], seconds: float) -> float:
    """Connections that a health check may have made in this time."""
    interval = reading["check_interval"]
    return seconds / interval if interval else 0.0


def sentence(traffic: Mapping[str, Any], limits: Thresholds) -> str:
    """Why nothing can be judged, in words."""
    return (
        f"too little use to judge: {traffic['signs']} signs of it ({traffic['connections']} connections, "
        f"{traffic['jobs']} jobs, {traffic['busy_looks']} looks with network traffic), and "
        f"{limits.min_traffic} are needed. Watch longer, or at a busier time."
    )
