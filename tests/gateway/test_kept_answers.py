# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is kept, for whom, and that it is the same."""

from __future__ import annotations

import asyncio
import json
import random
import time

import pytest

from client import FAL, OPENAI, Client

POLICY = "[providers.replicate.routes.x]\npath = '/*'\nanswer = 'json'\nstore = 'always'\n"


def run(gateway, scenario):
    async def inside():
        async with Client(gateway.url) as client:
            return await scenario(client)

    return asyncio.run(inside())


@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}])
def test_a_hit_is_the_miss_byte_for_byte(gateway, providers, fields):
    async def scenario(client):
        return [await client.chat("hello", **fields) for _unused in range(3)]

    first, *others = run(gateway, scenario)
    assert first.cache == "MISS" and "Age" not in first.headers and len(first.headers.getall("Set-Cookie")) == 2
    for other in others:
        assert (other.status, other.body, other.cache) == (200, first.body, "HIT")
        assert other.headers["Content-Type"] == first.headers["Content-Type"] and int(other.headers["Age"]) >= 0
        assert "Set-Cookie" not in other.headers
    assert sum(providers.counts().values()) == 1


@pytest.mark.parametrize("kind", ["plain", "stream", "embeddings", "translation", "picture"])
def test_twenty_equal_requests_at_once_are_one_call(gateway, providers, kind):
    calls = {
        "plain": lambda client: client.chat("twenty"),
        "stream": lambda client: client.chat("twenty", stream=True),
        "embeddings": lambda client: client.embed(["a", "b"]),
        "translation": lambda client: client.translate("Guten Tag"),
        "picture": lambda client: client.submit("a cat", seed=3),
    }

    async def scenario(client):
        providers.scale(0.2)
        return await asyncio.gather(*(calls[kind](client) for _unused in range(20)))

    answers = run(gateway, scenario)
    # An answer that was taken apart comes without the provider's blanks.
    bodies = {json.dumps(answer.fields) if kind in ("embeddings", "translation") else answer.body for answer in answers}
    assert len(bodies) == 1 and {answer.status for answer in answers} == {200}
    assert sorted({answer.cache for answer in answers}) == ["COALESCED", "MISS"]
    assert sum(providers.counts().values()) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_leaving_client_cancels_nobody(gateway, providers, stream):
    async def scenario(client):
        providers.scale(0.3)
        first = asyncio.create_task(client.chat("leaver", stream=stream))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(client.chat("leaver", stream=stream))
        await asyncio.sleep(0.1)
        first.cancel()
        answer = await second
        return answer, await client.chat("leaver", stream=stream)

    answer, again = run(gateway, scenario)
    assert (answer.cache, answer.failed, again.cache, again.body) == ("COALESCED", "", "HIT", answer.body)
    assert sum(providers.counts().values()) == 1


def test_when_all_have_left_the_answer_is_there_for_who_comes_back(gateway, providers):
    async def scenario(client):
        providers.scale(0.2)
        only = asyncio.create_task(client.chat("come back", stream=True))
        await asyncio.sleep(0.1)
        only.cancel()
        await asyncio.sleep(1.5)
        return await client.chat("come back", stream=True)

    answer = run(gateway, scenario)
    assert answer.cache == "HIT" and answer.body.endswith(b"data: [DONE]\n\n")
    assert sum(providers.counts().values()) == 1


def test_accounts_share_nothing(gateway, providers):
    async def scenario(client):
        one = await client.chat("mine")
        return one, await client.chat("mine", headers={"Authorization": "Bearer sk-other"})

    one, other = run(gateway, scenario)
    assert (one.cache, other.cache) == ("MISS", "MISS") and providers.counts()["openai.chat"] == 2


def test_of_ten_texts_with_seven_known_the_provider_is_asked_for_three(gateway, providers):
    texts = [f"Satz {number}" for number in range(10)]

    async def scenario(client):
        await client.translate(*texts[:7])
        before = providers.call("GET", "/counters")["deepl_characters"]
        mixed = [texts[number] for number in (8, 0, 3, 9, 1, 2, 7, 4, 5, 6)]
        partial = await client.translate(*mixed)
        asked = providers.call("GET", "/counters")["deepl_characters"] - before
        return mixed, partial, asked, await client.translate(*texts)

    mixed, partial, asked, whole = run(gateway, scenario)
    assert asked == sum(len(text) for text in texts[7:])
    assert partial.cache == "PARTIAL" and whole.cache == "HIT"
    words = [item["text"] for item in partial.fields["translations"]]
    assert words == [" ".join(word[::-1] for word in text.split()) + " (EN)" for text in mixed]


def test_embeddings_are_the_same_in_any_company(gateway, providers):
    async def scenario(client):
        first = await client.embed(["a", "b", "c"])
        one = await client.embed("b")
        batch = await client.embed(["c", "new", "c", "a"])
        other = await client.embed(["a", "b"], encoding_format="base64")
        return first, one, batch, other

    first, one, batch, other = run(gateway, scenario)
    vectors = {text: item["embedding"] for text, item in zip("abc", first.fields["data"], strict=True)}
    assert one.cache == "HIT" and one.fields["data"] == [{"object": "embedding", "index": 0, "embedding": vectors["b"]}]
    found = batch.fields["data"]
    assert batch.cache == "PARTIAL" and [item["index"] for item in found] == [0, 1, 2, 3]
    assert [found[n]["embedding"] for n in (0, 2, 3)] == [vectors[text] for text in "cca"]
    assert other.cache == "MISS" and isinstance(other.fields["data"][0]["embedding"], str)
    assert providers.counts()["openai.embeddings"] == 3


def test_fals_three_steps_are_one_answer(gateway, providers):
    async def scenario(client):
        first = await client.picture("a dog", seed=1)
        before = providers.counts()
        second = await client.picture("a dog", seed=1)
        stranger = await client.follow(first[0].fields["response_url"], {"Authorization": "Key somebody-else"})
        url = second[2].fields["images"][0]["url"]
        images = [await client.follow(url, {}) for _unused in range(2)]
        return first, second, before, stranger, images

    first, second, before, stranger, images = run(gateway, scenario)
    assert second[0].cache == second[2].cache == "HIT" and second[1][0].cache == "HIT" and len(second[1]) == 1
    assert second[2].body == first[2].body and second[0].body == first[0].body
    after = providers.counts()
    # What a stranger asks is asked at Fal, which knows whose it is.
    assert after["fal.submit"] == 1 and after["fal.result"] == before["fal.result"] + 1 and stranger.cache == "MISS"
    assert [image.cache for image in images] == ["MISS", "HIT"] and images[0].body == images[1].body
    assert after["fal.media"] == 1 and images[0].body[:2] == b"\xff\xd8"


def test_a_picture_without_a_seed_is_made_each_time(gateway, providers):
    async def scenario(client):
        return [await client.picture("a hen") for _unused in range(2)]

    one, two = run(gateway, scenario)
    assert one[0].cache == two[0].cache == "BYPASS" and one[2].body != two[2].body
    assert providers.counts()["fal.submit"] == 2


def test_polling_costs_one_call_a_second(gateway, providers):
    async def scenario(client):
        providers.scale(2.0)
        return await asyncio.gather(*(client.picture("slow", seed=seed) for seed in (5, 5, 5, 5)))

    jobs = run(gateway, scenario)
    polls = sum(len(job[1]) for job in jobs)
    counts = providers.counts()
    assert counts["fal.submit"] == 1 and polls >= 12 and counts["fal.status"] <= polls / 3
    assert len({job[2].body for job in jobs}) == 1


def test_a_job_that_others_wait_for_is_not_cancelled(gateway, providers):
    async def scenario(client):
        providers.call("POST", "/settings", {"fal_slots": 0})
        one, two = [await client.submit("shared", seed=9) for _unused in range(2)]
        first = await client.follow(one.fields["cancel_url"], method="PUT")
        kept = providers.counts().get("fal.cancel", 0)
        second = await client.follow(two.fields["cancel_url"], method="PUT")
        third = await client.submit("shared", seed=9)
        return one, two, first, kept, second, third

    one, two, first, kept, second, third = run(gateway, scenario)
    assert one.body == two.body and two.cache == "COALESCED"
    assert (first.status, kept) == (202, 0)
    assert second.status == 202 and providers.counts()["fal.cancel"] == 1
    assert third.cache == "MISS" and third.fields["request_id"] != one.fields["request_id"]


def test_a_job_submitted_by_two_at_once_is_cancelled_when_both_have(gateway, providers):
    async def scenario(client):
        providers.call("POST", "/settings", {"fal_slots": 0})
        providers.fail("fal.submit", "slow", seconds=0.4)
        leaver, *askers = [asyncio.create_task(client.submit("at once", seed=9)) for _unused in range(3)]
        await asyncio.sleep(0.05)
        leaver.cancel()  # never learns the number, and so waits for nothing
        one, two = await asyncio.gather(*askers)
        cancels = []
        for answer in (one, two):
            cancels.append((await client.follow(answer.fields["cancel_url"], method="PUT")).status)
            cancels.append(providers.counts().get("fal.cancel", 0))
        return one, two, cancels

    one, two, cancels = run(gateway, scenario)
    assert one.body == two.body and {one.cache, two.cache} == {"COALESCED"}
    assert cancels == [202, 0, 202, 1]


def test_a_handed_out_number_is_known_after_a_restart(gateway, providers):
    async def scenario(client):
        await client.picture("restart", seed=2)
        again = await client.submit("restart", seed=2)
        gateway.process.stop()
        gateway.start()
        return again, await client.follow(again.fields["status_url"]), await client.follow(again.fields["response_url"])

    again, status, result = run(gateway, scenario)
    assert [answer.cache for answer in (again, status, result)] == ["HIT"] * 3
    assert status.fields["status"] == "COMPLETED" and result.fields["images"]


def test_cache_control(gateway, providers):
    async def scenario(client):
        answers = [await client.chat("control")]
        for value in ("no-store", "no-cache", "max-age=100"):
            answers.append(await client.chat("control", more={"Cache-Control": value}))
        await asyncio.sleep(1.1)
        answers.append(await client.chat("control", more={"Cache-Control": "max-age=0"}))
        answers.append(await client.chat("control"))
        return answers

    answers = run(gateway, scenario)
    assert [answer.cache for answer in answers] == ["MISS", "BYPASS", "MISS", "HIT", "MISS", "HIT"]
    assert answers[3].body == answers[2].body != answers[0].body  # no-cache put a new answer in the old one's place


def test_purging_one_provider_leaves_the_others(gateway, providers):
    async def scenario(client):
        await client.chat("purge")
        await client.translate("bleibt")
        purged = gateway.run("purge", "openai")
        return purged, await client.chat("purge"), await client.translate("bleibt")

    purged, chat, translation = run(gateway, scenario)
    assert purged.returncode == 0 and '"removed": 1' in purged.stdout
    assert (chat.cache, translation.cache) == ("MISS", "HIT")
    assert gateway.run("purge", "nobody").returncode == 1
    assert gateway.run("health").returncode == 0


def test_small_answers_share_a_compact_hash(gateway, redis):
    async def scenario(client):
        for start in range(0, 800, 40):
            await client.translate(*(f"Satz Nummer {number} ist kurz" for number in range(start, start + 40)))

    run(gateway, scenario)
    assert not redis.cli("KEYS", "e:deepl:*")
    script = """
        local held, bad = 0, 0
        for _, name in ipairs(redis.call('KEYS', 'p:deepl:*')) do
            held = held + redis.call('HLEN', name)
            if redis.call('OBJECT', 'ENCODING', name) ~= 'listpack' or redis.call('TTL', name) < 0 then
                bad = bad + 1
            end
        end
        return held .. ' ' .. bad
    """
    deadline = time.monotonic() + 5
    while (sizes := redis.cli("EVAL", script, "0")) != "800 0" and time.monotonic() < deadline:
        time.sleep(0.1)  # an answer is given before it is kept
    buckets = redis.cli("--no-raw", "KEYS", "p:deepl:*").splitlines()
    assert sizes == "800 0" and 150 < len(buckets) <= 256


def test_a_full_hash_makes_room(gateway, redis):
    """800 answers into the place of 100: the hash stays compact, and what it still holds is right."""
    from headroom_gateway.entry import Entry
    from headroom_gateway.policy import load
    from headroom_gateway.redis_link import RedisLink
    from headroom_gateway.store import Store

    async def inside():
        store = Store(RedisLink(redis.url, 1.0, 3, 1.0), load())
        keys = [b"\0\0" + number.to_bytes(14, "big") for number in range(800)]
        for number, key in enumerate(keys):
            await store.put("deepl", key, Entry(10, 1000 + number, [], b"%d" % number), 1000)
        found = await store.get("deepl", keys, time.time())
        await store.close()
        return found

    found = asyncio.run(inside())
    held = [number for number, entry in enumerate(found) if entry is not None]
    assert 70 <= len(held) <= 100 and held == list(range(800 - len(held), 800))
    assert all(found[number].body == b"%d" % number for number in held)
    script = "return redis.call('OBJECT', 'ENCODING', redis.call('KEYS', 'p:deepl:*')[1])"
    assert redis.cli("EVAL", script, "0") == "listpack"


def test_a_short_lived_answer_takes_no_other_with_it(redis):
    """Two answers in one hash: it lives as long as the longer needs, and neither is given out past its own time."""
    from headroom_gateway.entry import Entry
    from headroom_gateway.policy import load
    from headroom_gateway.redis_link import RedisLink
    from headroom_gateway.store import Store

    async def inside():
        store = Store(RedisLink(redis.url, 1.0, 3, 1.0), load())
        now = int(time.time())
        long, short = b"\0\0" + b"l" * 14, b"\0\0" + b"s" * 14
        await store.put("deepl", long, Entry(now, now + 3600, [], b"long"), 3600)
        await store.put("deepl", short, Entry(now - 20, now - 10, [], b"short"), 1)
        life = redis.cli("EVAL", "return redis.call('TTL', redis.call('KEYS', 'p:deepl:*')[1])", "0")
        found = [await store.get("deepl", [long, short], grace) for grace in (0, 60)]
        await store.close()
        return life, [[entry and entry.body for entry in entries] for entries in found]

    assert asyncio.run(inside()) == (str(744 * 3600), [[b"long", None], [b"long", b"short"]])


def test_images_stay_within_their_budget(providers, redis):
    from place import Gateway, folder

    with folder() as where:
        own = Gateway(where, providers, redis.url, "[cache]\nimages_total_bytes = 1_000_000\n")

        async def scenario(client):
            sizes = []
            for seed in range(8):
                result = (await client.picture("budget", seed=seed))[2]
                sizes.append(len((await client.follow(result.fields["images"][0]["url"], {})).body))
            return sizes

        try:
            sizes = run(own, scenario)
            kept = own.metric("headroom_gateway_image_bytes")
            assert sum(sizes) > 1_500_000 and max(sizes) < kept <= 1_000_000
            script = """
                local size = 0
                for _, name in ipairs(redis.call('KEYS', 'i:*')) do size = size + redis.call('STRLEN', name) end
                return size
            """
            lengths = redis.cli("EVAL", script, "0")
            assert int(lengths) == kept
            own.process.stop()
            own.start()
            assert own.metric("headroom_gateway_image_bytes") == kept  # a new process knows what is there
        finally:
            own.process.stop()


def test_nothing_secret_in_the_log(gateway):
    words = ("PROMPTWORD", "sk-secret-one", "secret-three", "secretinquery", "ANSWERWORD")

    async def scenario(client):
        await client.chat("PROMPTWORD", stream=True)
        await client.chat("PROMPTWORD")
        await client.embed(["PROMPTWORD", "x"])
        await client.picture("PROMPTWORD", seed=1)
        await client.ask("GET", "generativelanguage.googleapis.com", "/v1beta/models?key=secretinquery")
        await client.ask("POST", "api.openai.com", "/v1/PROMPTWORD", OPENAI, data=b"PROMPTWORD")
        await client.ask("GET", "PROMPTWORD.example", "/?key=secretinquery", FAL)

    run(gateway, scenario)
    log = gateway.log.read_text()
    assert "openai chat HIT" in log or "openai chat MISS" in log
    for word in words:
        assert word not in log


def test_nothing_readable_of_a_credential_in_redis(gateway, redis):
    run(gateway, lambda client: client.picture("x", seed=1))
    keys = redis.cli("EVAL", "return table.concat(redis.call('KEYS','*'),'|')", "0")
    assert "secret" not in keys and ":fal:" in keys


def test_the_same_answers_as_without(gateway, providers):
    """Three hundred requests at random, each through the gateway and straight: the same words."""
    chance = random.Random(5)
    requests = []
    for _unused in range(300):
        fields = {"max_tokens": chance.choice((5, 50)), "stream": chance.random() < 0.4, "user": str(chance.random())}
        requests.append((f"question {chance.randrange(60)}", chance.choice((0, 0, 0.7)), fields))

    async def ask(client):
        gate = asyncio.Semaphore(8)

        async def one(text, temperature, fields):
            async with gate:
                return (await client.chat(text, temperature=temperature, **fields)).text

        return await asyncio.gather(*(one(*request) for request in requests))

    async def inside():
        async with Client(gateway.url) as through, Client("", providers) as straight:
            with_gateway = await ask(through)
            calls = sum(providers.counts().values())
            return with_gateway, calls, await ask(straight)

    with_gateway, calls, without = asyncio.run(inside())
    assert with_gateway == without
    assert calls < 270 and sum(providers.counts().values()) == calls + 300


def test_metrics_tell_it(gateway, providers):
    line = 'headroom_gateway_requests_total{provider="openai",route="chat",result="%s"}'
    before = {name: gateway.metric(line % name) for name in ("HIT", "MISS", "BYPASS")}

    async def scenario(client):
        for _unused in range(3):
            await client.chat("metrics")
        await client.chat("metrics", temperature=1)

    run(gateway, scenario)
    grown = {name: gateway.metric(line % name) - value for name, value in before.items()}
    assert grown == {"HIT": 2, "MISS": 1, "BYPASS": 1}
    assert gateway.metric("headroom_gateway_cache_up") == 1
