# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What fails behind the gateway: its clients see at most what they would see without it, and nothing false is kept."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from aiohttp import web

from client import OPENAI, Client
from place import Gateway, Redis, folder, seconds_of

POLICY = """
[providers.openai]
first_byte_seconds = 3
idle_seconds = 2
[providers.deepl]
wait_seconds = 0.3
"""
FAILURES = [
    ("status", {"status": 500}),
    ("status", {"status": 429, "retry_after": 1}),
    ("status", {"status": 503}),
    ("status", {"status": 401}),
    ("slow", {"seconds": 0.5}),
    ("cut", {}),
]
CALLS = {
    "openai.chat_stream": lambda client, word: client.chat(word, stream=True),
    "openai.chat": lambda client, word: client.chat(word),
    "openai.embeddings": lambda client, word: client.embed([word, "b"]),
    "deepl.translate": lambda client, word: client.translate(word, "b"),
    "fal.submit": lambda client, word: client.submit(word, seed=1),
}


def both(gateway, providers, scenario):
    async def inside():
        async with Client(gateway.url) as through, Client("", providers) as straight:
            return await scenario(through, straight)

    return asyncio.run(inside())


def seen(answer):
    """What an application makes of an answer: its status, and whether it broke off (how much came is chance)."""
    if answer.status == 0 or answer.failed:
        return "broken"
    return (answer.status, answer.headers.get("Retry-After"))


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize(("mode", "fields"), FAILURES, ids=str)
def test_a_failing_provider_looks_as_it_does_without(gateway, providers, kind, mode, fields):
    call = CALLS[kind]
    word = f"{kind} {mode} {fields}"

    async def scenario(through, straight):
        providers.fail(kind, mode, **fields)
        without = await call(straight, word)
        with_gateway = await call(through, word)
        providers.call("DELETE", "/faults")
        if fields.get("retry_after"):
            await asyncio.sleep(1.1)
        before = providers.counts()[kind]
        again = await call(through, word)
        known = await call(through, word)
        return without, with_gateway, again, known, providers.counts()[kind] - before

    without, with_gateway, again, known, asked = both(gateway, providers, scenario)
    if mode == "cut":
        # A client that has no byte yet may be told in words; one that has some must see the cut.
        assert seen(without) == "broken" and (seen(with_gateway) == "broken" or with_gateway.status == 502)
    else:
        assert seen(with_gateway) == seen(without)
        if mode == "status":
            assert with_gateway.body == without.body
    assert again.status == known.status == 200 and not again.failed
    if mode == "slow":
        assert (again.cache, asked) == ("HIT", 0) or kind == "fal.submit"
    else:
        assert asked == 1 and again.cache == "MISS"  # nothing of the failure was kept


def test_what_is_wrong_with_somebody_elses_text_is_nobody_elses_fault(providers, redis):
    """A provider that takes no text of more than nine characters; "hello" is on its way in bad company when it is asked
    for alone."""

    async def embeddings(request):
        texts = (await request.json())["input"]
        await asyncio.sleep(0.3)
        if any(len(text) > 9 for text in texts):
            return web.json_response({"error": {"message": "too long"}}, status=400)
        data = [{"index": number, "embedding": [1.0]} for number, _text in enumerate(texts)]
        return web.json_response({"data": data, "usage": {"total_tokens": len(texts)}})

    async def inside(where):
        app = web.Application()
        app.router.add_post("/v1/embeddings", embeddings)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        policy = f'[providers.openai]\nscheme = "http"\naddress = "127.0.0.1:{port}"\n'
        own = await asyncio.to_thread(Gateway, where, providers, redis.url, policy)
        try:
            async with Client(own.url) as client:
                bad = asyncio.create_task(client.embed(["hello", "far too long"]))
                await asyncio.sleep(0.1)
                return await client.embed(["hello", "world"]), await bad
        finally:
            await asyncio.to_thread(own.process.stop)
            await runner.cleanup()

    with folder() as where:
        good, bad = asyncio.run(inside(where))
    assert bad.status == 400
    assert good.status == 200 and len(good.fields["data"]) == 2


def test_a_cut_stream_is_cut_for_its_client_too(gateway, providers):
    async def scenario(through, straight):
        providers.fail("openai.chat_stream", "cut")
        return await through.chat("cut", stream=True), await straight.chat("cut", stream=True)

    through, straight = both(gateway, providers, scenario)
    assert through.failed == straight.failed == "cut off" and b"[DONE]" not in through.body
    assert through.body.count(b"data:") == straight.body.count(b"data:") > 0


def test_a_provider_that_never_answers(gateway, providers):
    async def scenario(through, _straight):
        providers.fail("openai.chat", "slow", seconds=10)
        began = time.monotonic()
        answer = await through.chat("never")
        return answer, time.monotonic() - began

    answer, seconds = both(gateway, providers, scenario)
    assert answer.status == 504 and answer.fields["error"]["code"] == "gateway_no_answer" and 2.9 < seconds < 5


@pytest.mark.parametrize("mode", [("status", {"status": 500}), ("status", {"status": 429}), ("slow", {"seconds": 10})])
def test_an_old_answer_stands_in_for_a_failing_provider(providers, redis, mode):
    policy = """
[providers.openai]
first_byte_seconds = 1
[providers.openai.routes.chat]
ttl_hours = 0.0003
grace_hours = 1
[providers.openai.routes.embeddings]
ttl_hours = 0.0003
grace_hours = 1
"""
    with folder() as where:
        own = Gateway(where, providers, redis.url, policy)

        async def scenario(through, _straight):
            calls = [
                lambda: through.chat("old"),
                lambda: through.chat("old", stream=True),
                lambda: through.embed(["a", "b"]),
            ]
            first = [await call() for call in calls]
            await asyncio.sleep(1.2)
            providers.fail("openai", mode[0], **mode[1])
            second = [await call() for call in calls]
            unknown = await through.chat("new")
            providers.call("DELETE", "/faults")
            return first, second, unknown, [await call() for call in calls]

        try:
            first, second, unknown, third = both(own, providers, scenario)
        finally:
            own.process.stop()
    assert [answer.cache for answer in first] == ["MISS"] * 3
    assert [answer.cache for answer in second] == ["STALE"] * 3
    assert [answer.body for answer in second[:2]] == [answer.body for answer in first[:2]]
    assert second[2].fields == first[2].fields and all(int(answer.headers["Age"]) >= 1 for answer in second[:2])
    assert unknown.status >= 429
    assert [answer.cache for answer in third] == ["MISS"] * 3


def test_a_providers_pause_is_kept(gateway, providers):
    async def scenario(through, _straight):
        providers.fail("deepl", "status", status=429, retry_after=2, count=1)
        first = await through.translate("pause")
        began = time.monotonic()
        second = await through.translate("pause")
        quick = time.monotonic() - began
        other = await through.ask("POST", "api.deepl.com", "/v2/translate", {"Authorization": "DeepL-Auth-Key other"},
                                  json={"text": ["x"], "target_lang": "EN"})  # fmt: skip
        await asyncio.sleep(2)
        return first, second, quick, other, await through.translate("pause")

    first, second, quick, other, third = both(gateway, providers, scenario)
    assert (first.status, first.headers["Retry-After"]) == (429, "2")
    assert second.status == 429 and second.headers["Retry-After"] in ("1", "2") and quick < 0.2
    assert second.fields["error"]["code"] == "gateway_busy"
    assert (other.status, third.status) == (200, 200)
    assert providers.counts()["deepl.translate"] == 3


def test_fals_two_places_and_a_bounded_wait(providers, redis):
    with folder() as where:
        own = Gateway(where, providers, redis.url, "[providers.fal_run]\nwait_seconds = 2\n")

        async def scenario(through, _straight):
            providers.scale(1.0)
            url = ("POST", "fal.run", "/fal-ai/flux/schnell", {"Authorization": "Key k"})
            calls = [through.ask(*url, json={"prompt": f"p{number}"}) for number in range(8)]
            return await asyncio.gather(*calls)

        try:
            answers = both(own, providers, scenario)
            waits = own.metric('headroom_gateway_waits_total{provider="fal_run"}')
        finally:
            own.process.stop()
    good = [answer for answer in answers if answer.status == 200]
    busy = [answer for answer in answers if answer.status == 429]
    assert len(good) + len(busy) == 8 and len(good) >= 3 and busy and waits >= 1
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in busy)
    assert providers.call("GET", "/counters")["peaks"]["fal.running"] <= 2


def test_a_provider_that_is_not_there(providers, redis):
    with folder() as where:
        own = Gateway(where, providers, redis.url, "[providers.replicate]\naddress = '127.0.0.1:9'\n")
        try:
            answer = both(
                own, providers, lambda through, _unused: through.ask("GET", "api.replicate.com", "/v1/models")
            )
        finally:
            own.process.stop()
    assert answer.status == 502 and "no connection" in answer.fields["error"]["message"]


def test_a_certificate_of_somebody_else_is_refused(providers, redis):
    with folder() as where:
        own = Gateway(where, providers, redis.url)
        own.process.stop()
        own.environment["HEADROOM_GATEWAY_UPSTREAM_CA"] = ""
        own.start()
        try:
            answer = both(own, providers, lambda through, _straight: through.chat("x"))
        finally:
            own.process.stop()
    assert answer.status == 502 and "certificate" in answer.fields["error"]["message"]
    assert not providers.counts()


@pytest.fixture
def own_place(providers):
    """A Redis and a gateway that a test may break."""
    with folder() as where:
        redis = Redis(where)
        gateway = Gateway(where, providers, redis.url)
        yield gateway, redis
        gateway.process.stop()
        redis.process.stop()


@pytest.mark.parametrize("way", ["killed", "stopped"])
def test_redis_goes_away_and_comes_back(own_place, providers, way):
    gateway, redis = own_place

    async def scenario(through, _straight):
        first = await through.chat("away")
        if way == "killed":
            redis.process.kill()
        else:
            redis.process.signal(signal.SIGSTOP)
        away = [await seconds_of(through.chat(f"away {number}")) for number in range(12)]
        again = await through.chat("away")
        stream, items = await through.chat("away", stream=True), await through.embed(["a", "b"])
        providers.scale(0.2)
        together = await asyncio.gather(*(through.chat("together") for _unused in range(20)))
        if way == "killed":
            redis.start()
        else:
            redis.process.signal(signal.SIGCONT)
        await asyncio.to_thread(gateway.wait_for_metric, "headroom_gateway_cache_up", 1, 12)
        back = [await through.chat("back") for _unused in range(2)]
        return first, away, [again, stream, items], together, back

    first, away, others, together, back = both(gateway, providers, scenario)
    assert first.status == 200
    assert all(answer.status == 200 and not answer.failed for answer, _seconds in away)
    assert all(answer.status == 200 for answer in [*others, *together, *back])
    # At most the breaker's three calls wait for a Redis that hangs; nobody waits after them.
    assert sorted(seconds for _answer, seconds in away)[-4] < 0.1
    assert max(seconds for _answer, seconds in away) < 1.0
    assert len({answer.body for answer in together}) == 1
    assert [answer.cache for answer in back] == ["MISS", "HIT"]


@pytest.mark.parametrize("way", ["no memory", "read only", "disk full"])
def test_a_redis_that_takes_nothing_more(own_place, providers, way, tmp_path):
    gateway, redis = own_place

    def spoil():
        if way == "no memory":
            redis.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")
            redis.cli("CONFIG", "SET", "maxmemory", "1")
        elif way == "read only":
            redis.cli("CONFIG", "SET", "min-replicas-to-write", "1")
        else:
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(tmp_path)], check=False)
            if done.returncode:
                pytest.skip("a full disk is made with a mount, which this machine does not allow")
            (tmp_path / "full").write_bytes(b"x" * 4096)
            redis.cli("CONFIG", "SET", "dir", str(tmp_path))
            redis.cli("CONFIG", "SET", "save", "1 1")
            redis.cli("SET", "some", "thing")
            deadline = time.monotonic() + 10
            while "rdb_last_bgsave_status:err" not in redis.cli("INFO", "persistence"):
                assert time.monotonic() < deadline, "the disk is not full"
                time.sleep(0.2)

    async def scenario(through, _straight):
        known = await through.chat("known")
        spoil()
        return known, await through.chat("known"), [await through.chat("new") for _unused in range(2)]

    try:
        known, still, new = both(gateway, providers, scenario)
    finally:
        redis.cli("CONFIG", "SET", "save", "")  # or it would not stop
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=False, capture_output=True)
    assert (known.cache, still.cache, still.body) == ("MISS", "HIT", known.body)
    assert [(answer.status, answer.cache) for answer in new] == [(200, "MISS")] * 2
    assert gateway.metric("headroom_gateway_cache_refused_total") >= 1


def test_damage_in_redis_is_a_miss(gateway, redis, providers):
    async def scenario(through, _straight):
        first = await through.chat("damage", max_tokens=200)
        for script in (
            "for _,k in ipairs(redis.call('KEYS','e:*')) do redis.call('SETRANGE',k,9,'xxxxxxxx') end",
            "for _,k in ipairs(redis.call('KEYS','p:*')) do for _,f in ipairs(redis.call('HKEYS',k)) do "
            "redis.call('HSET',k,f,'junk') end end",
        ):
            redis.cli("EVAL", script, "0")
        return first, await through.chat("damage", max_tokens=200)

    first, second = both(gateway, providers, scenario)
    assert (first.cache, second.cache, second.status) == ("MISS", "MISS", 200) and second.text == first.text


def test_the_gateway_stops_without_cutting_anybody(own_place, providers):
    gateway, _redis = own_place

    async def scenario(through, _straight):
        providers.scale(0.5)
        asking = asyncio.create_task(through.chat("to the end", stream=True))
        await asyncio.sleep(0.3)
        gateway.process.signal(signal.SIGTERM)
        return await asking

    answer = both(gateway, providers, scenario)
    assert answer.status == 200 and not answer.failed and answer.body.endswith(b"[DONE]\n\n")
    assert gateway.process.child.wait(5) == 0


def test_a_stop_waits_for_requests_and_for_nobody_else(own_place, providers):
    gateway, _redis = own_place
    body = b'{"model": "m", "temperature": 0, "messages": [{"role": "user", "content": "late"}]}'
    head = b"POST /openai/v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer sk-secret-one\r\n"
    head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)

    async def connect(data):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(data)
        return reader, writer

    async def scenario(through, _straight):
        providers.fail("openai.chat", "slow", seconds=1.5)
        idle, silent = await connect(b"GET /-/health HTTP/1.1\r\n\r\n"), await connect(b"")
        assert b"200 OK" in await idle[0].readuntil(b"}")
        half = await connect(head + body[:9])
        asking = asyncio.create_task(through.chat("early"))
        await asyncio.sleep(0.3)
        gateway.process.signal(signal.SIGTERM)
        unused = await asyncio.wait_for(asyncio.gather(idle[0].read(), silent[0].read()), 0.5)
        await asyncio.sleep(0.5)
        half[1].write(body[9:])
        late = await half[0].read()
        for _reader, writer in (idle, silent, half):
            writer.close()
        return unused, await asking, late

    unused, early, late = both(gateway, providers, scenario)
    assert unused == [b"", b""]
    assert early.status == 200 and not early.failed
    assert late.startswith(b"HTTP/1.1 200 OK") and b"\r\nconnection: close\r\n" in late and late.endswith(b"}")
    assert gateway.process.child.wait(2) == 0


def test_no_file_is_written(gateway):
    """A full disk cannot touch a gateway that holds no file open for writing but its log."""
    written = []
    for name in os.listdir(f"/proc/{gateway.process.pid}/fd"):
        target = os.readlink(f"/proc/{gateway.process.pid}/fd/{name}")
        flags = Path(f"/proc/{gateway.process.pid}/fdinfo/{name}").read_text().split("flags:")[1].split()[0]
        if target.startswith("/") and not target.startswith("/dev/") and int(flags, 8) & 3:
            written.append(target)
    assert set(written) <= {str(gateway.log)}


def test_a_client_that_leaves_ends_a_call_that_is_not_kept(gateway, providers):
    async def scenario(through, _straight):
        providers.scale(1.0)
        leaving = asyncio.create_task(through.chat("leave", headers=OPENAI, temperature=1, stream=True))
        await asyncio.sleep(1.2)
        leaving.cancel()
        await asyncio.sleep(0.3)
        providers.scale(0.0)
        return await through.chat("next")

    assert both(gateway, providers, scenario).status == 200
