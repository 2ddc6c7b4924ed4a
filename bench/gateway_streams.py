# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much later the first byte of a missed stream comes than without the gateway, and the gateway's memory in use.

    python bench/gateway_streams.py [--streams 200] [--users 50] [--seconds 20]

Streams nobody asked for yet go to the stand-in OpenAI (TLS) in turns, straight and through the gateway; each first byte
is timed at the client. Then users at the same time ask for known and new answers, plain, streamed, embedded and
translated, and for pictures; the figure is the largest resident memory of the process since its start.
Needed: redis-server and the packages of requirements-test.txt.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/gateway")]
sys.dont_write_bytecode = True

from client import OPENAI, Client  # noqa: E402
from place import Gateway, Providers, Redis, folder  # noqa: E402


async def first_byte(client: Client, text: str) -> float:
    """Return the milliseconds from asking to the first byte of a stream's body."""
    body = {"model": "m", "temperature": 0, "stream": True, "messages": [{"role": "user", "content": text}]}
    began = time.perf_counter()
    url = client.url("api.openai.com", "/v1/chat/completions")
    async with client._session.post(url, json=body, headers=OPENAI) as answer:
        assert await answer.content.readany()
        taken = time.perf_counter() - began
        await answer.read()
    return taken * 1000


async def compare_first_bytes(gateway: Gateway, providers: Providers, streams: int) -> tuple[list[float], list[float]]:
    straight_ms, through_ms = [], []
    async with Client(gateway.url) as through, Client("", providers) as straight:
        for number in range(streams):
            # Each text for itself: a stream that is known would be no miss.
            pairs = [(straight, straight_ms), (through, through_ms)]
            random.shuffle(pairs)
            for client, taken in pairs:
                taken.append(await first_byte(client, f"stream {number}"))
    return straight_ms[5:], through_ms[5:]


async def use(gateway: Gateway, users: int, seconds: float) -> int:
    """Let users work; return the number of their requests."""
    end = time.monotonic() + seconds
    done = 0

    async def user(number: int) -> None:
        nonlocal done
        chance = random.Random(number)
        async with Client(gateway.url) as client:
            while time.monotonic() < end:
                word = f"word {int(chance.paretovariate(0.8))}"
                kind = chance.choice(("plain", "plain", "stream", "embed", "translate", "chat", "picture"))
                if kind == "picture":
                    result = (await client.picture(word, seed=1))[2]
                    await client.follow(result.fields["images"][0]["url"], {})
                elif kind == "embed":
                    await client.embed([word, "and", "others"], dimensions=1536)
                elif kind == "translate":
                    await client.translate(word)
                else:
                    await client.chat(word, stream=kind == "stream", temperature=0.7 if kind == "chat" else 0)
                done += 1
                await asyncio.sleep(chance.expovariate(2.0))

    await asyncio.gather(*(user(number) for number in range(users)))
    return done


def peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the gateway is gone")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    with folder() as where:
        redis, providers = Redis(where), Providers(where)
        providers.reset()
        gateway = Gateway(where, providers, redis.url)
        try:
            straight, through = asyncio.run(compare_first_bytes(gateway, providers, options.streams))
            idle = gateway.resident_bytes() / 2**20
            providers.scale(0.2)
            requests = asyncio.run(use(gateway, options.users, options.seconds))
            peak = peak_mb(gateway.process.pid)
            after = gateway.resident_bytes() / 2**20
        finally:
            for one in (gateway, redis, providers):
                one.process.stop()
    later = statistics.median(through) - statistics.median(straight)
    late = statistics.quantiles(through, n=20)[-1] - statistics.quantiles(straight, n=20)[-1]
    print(f"first byte, ms: straight p50 {statistics.median(straight):.2f}, "
          f"through p50 {statistics.median(through):.2f}: "
          f"{later:.2f} later at p50, {late:.2f} at p95, {len(through)} streams")  # fmt: skip
    print(f"memory, MB: {idle:.1f} after the streams, {peak:.1f} at most, {after:.1f} at the end; "
          f"{options.users} users, {requests} requests")  # fmt: skip
    good = later <= 5 and peak <= 45
    print("holds" if good else "FAILS", ": first byte at most 5 ms later, memory at most 45 MB")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
