# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stand-ins over HTTP, as one process: names of the provider in the Host header, no latency."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import FormData
from aiohttp.test_utils import TestClient, TestServer

from sandbox import providers
from sandbox.process import SandboxError
from sandbox.providers import text
from sandbox.providers.calls import Fault, Faults, Latency
from sandbox.providers.container import choose_address
from sandbox.providers.control import Control
from sandbox.providers.kinds import kind_of
from sandbox.providers.stand_ins import Providers

BOT = "/bot424242:SANDBOX-not-a-token-of-any-real-bot-00"
KEY = {"Authorization": "Bearer sk-test"}
FAL_KEY = {"Authorization": "Key a:b"}
DEEPL_KEY = {"Authorization": "DeepL-Auth-Key x:fx"}
QUESTION = {"model": "m", "temperature": 0, "messages": [{"role": "user", "content": "why?"}]}


def scenario(body, scale=0.0):
    """Run `body(call, control, stand_ins)` against fresh stand-ins; call(host, method, path, ...) -> status, JSON."""

    async def main():
        stand_ins = Providers(seed=1, scale=scale)
        async with (
            TestClient(TestServer(stand_ins.application())) as client,
            TestClient(TestServer(Control(stand_ins).application())) as control_client,
        ):

            async def call(host, method, path, headers=None, **arguments):
                async with client.request(method, path, headers={"Host": host, **(headers or {})}, **arguments) as got:
                    raw = await got.read()
                    return got.status, json.loads(raw) if got.content_type == "application/json" else raw

            async def control(method, path, body=None):
                async with control_client.request(method, path, json=body) as got:
                    return await got.json()

            await body(call, control, stand_ins)

    asyncio.run(main())


async def chat(call, **changes):
    return await call(providers.OPENAI, "POST", "/v1/chat/completions", KEY, json={**QUESTION, **changes})


def test_equal_questions_get_equal_answers_and_others_do_not():
    async def body(call, control, stand_ins):
        def content(answer):
            assert answer[0] == 200
            return answer[1]["choices"][0]["message"]["content"]

        first = content(await chat(call))
        assert content(await chat(call, user="somebody")) == first
        assert content(await chat(call, messages=[{"role": "user", "content": "why not?"}])) != first
        assert content(await chat(call, temperature=0.7)) != first

    scenario(body)


def test_a_stream_adds_up_to_the_whole_answer():
    async def body(call, control, stand_ins):
        _unused, whole = await chat(call)
        status, raw = await chat(call, stream=True, stream_options={"include_usage": True})
        lines = [line[6:] for line in raw.decode().split("\n\n") if line]
        assert status == 200
        assert lines[-1] == "[DONE]"
        chunks = [json.loads(line) for line in lines[:-1]]
        parts = [choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]]
        assert "".join(parts) == whole["choices"][0]["message"]["content"]
        assert chunks[-1]["usage"] == whole["usage"]
        assert stand_ins.counters.calls == {"openai.chat": 1, "openai.chat_stream": 1}

    scenario(body)


def test_keys_are_wanted():
    async def body(call, control, stand_ins):
        assert (await call(providers.OPENAI, "POST", "/v1/chat/completions", json=QUESTION))[0] == 401
        assert (await call(providers.FAL_QUEUE, "POST", "/fal-ai/flux", json={"prompt": "x"}))[0] == 401
        assert (await call(providers.DEEPL[0], "POST", "/v2/translate", json={"text": ["a"], "target_lang": "DE"}))[
            0
        ] == 403
        assert (await call(providers.TELEGRAM, "POST", "/botnonsense/getMe"))[0] == 401
        assert stand_ins.counters.errors["openai.chat 401"] == 1

    scenario(body)


def test_a_host_answers_only_for_itself():
    async def body(call, control, stand_ins):
        assert (await call(providers.DEEPL[0], "POST", "/v1/chat/completions", KEY, json=QUESTION))[0] == 404
        assert (await call("example.org", "GET", "/"))[0] == 404

    scenario(body)


async def submit(call, prompt="a fox", **arguments):
    body = {"prompt": prompt, "seed": 1, **arguments}
    status, answer = await call(providers.FAL_QUEUE, "POST", "/fal-ai/flux/schnell", FAL_KEY, json=body)
    assert status == 200
    return answer


def path(url):
    assert url.startswith(f"https://{providers.FAL_QUEUE}/fal-ai/flux/requests/")
    return url.removeprefix(f"https://{providers.FAL_QUEUE}")


async def result(call, job):
    for _unused in range(1000):
        if (await call(providers.FAL_QUEUE, "GET", path(job["status_url"])))[1]["status"] == "COMPLETED":
            break
        await asyncio.sleep(0.005)
    return (await call(providers.FAL_QUEUE, "GET", path(job["response_url"])))[1]


def test_fal_runs_two_at_once_and_queues_the_rest():
    async def body(call, control, stand_ins):
        jobs = await asyncio.gather(*(submit(call, f"fox {n}") for n in range(6)))
        states = [(await call(providers.FAL_QUEUE, "GET", path(job["status_url"])))[1] for job in jobs]
        assert sorted(state["status"] for state in states).count("IN_PROGRESS") == 2
        assert sorted(state["queue_position"] for state in states if "queue_position" in state) == [0, 1, 2, 3]
        early = path(next(s for s in states if s["status"] == "IN_QUEUE")["response_url"])
        assert (await call(providers.FAL_QUEUE, "GET", early))[0] == 400
        for job in jobs:
            assert (await result(call, job))["images"]
        assert stand_ins.counters.peaks["fal.running"] == 2
        assert stand_ins.fal.running == 0
        counted = await control("GET", "/counters")
        assert (counted["calls"]["fal.submit"], counted["paid"]) == (6, 6)

    scenario(body, scale=0.1)


def test_fal_pictures_depend_on_prompt_and_seed_alone():
    async def body(call, control, stand_ins):
        async def picture(**arguments):
            image = (await result(call, await submit(call, **arguments)))["images"][0]
            status, raw = await call(
                providers.FAL_MEDIA, "GET", image["url"].removeprefix(f"https://{providers.FAL_MEDIA}")
            )
            assert status == 200
            assert raw[:3] == b"\xff\xd8\xff"
            return raw

        first = await picture(prompt="fox")
        assert await picture(prompt="fox") == first
        assert await picture(prompt="fox", seed=2) != first
        assert await picture(prompt="owl") != first
        assert (await submit(call))["request_id"] != (await submit(call))["request_id"]

    scenario(body)


def test_deepl_ends_at_its_quota():
    async def body(call, control, stand_ins):
        async def translate(words):
            return await call(
                providers.DEEPL[0], "POST", "/v2/translate", DEEPL_KEY, json={"text": words, "target_lang": "DE"}
            )

        await control("POST", "/settings", {"deepl_quota": 10})
        status, answer = await translate(["abc", "def"])
        assert (status, [entry["text"] for entry in answer["translations"]]) == (200, ["cba (DE)", "fed (DE)"])
        assert (await translate(["12345"]))[0] == 456
        assert (await translate(["1234"]))[0] == 200

    scenario(body)


def test_a_user_writes_and_the_bot_answers():
    async def body(call, control, stand_ins):
        await control("POST", "/messages", [{"chat_id": 5, "text": "/image a fox"}, {"chat_id": 6, "picture": 2}])
        updates = (await call(providers.TELEGRAM, "POST", f"{BOT}/getUpdates", data={"timeout": "1"}))[1]["result"]
        assert updates[0]["message"]["entities"] == [{"type": "bot_command", "offset": 0, "length": 6}]
        again = (await call(providers.TELEGRAM, "POST", f"{BOT}/getUpdates"))[1]["result"]
        assert again == updates, "not confirmed yet"
        offset = {"offset": str(updates[-1]["update_id"] + 1)}
        assert (await call(providers.TELEGRAM, "POST", f"{BOT}/getUpdates", data=offset))[1]["result"] == []
        file = updates[1]["message"]["document"]["file_id"]
        where = (await call(providers.TELEGRAM, "GET", f"{BOT}/getFile?file_id={file}"))[1]["result"]
        raw = (await call(providers.TELEGRAM, "GET", f"/file{BOT}/{where['file_path']}"))[1]
        assert len(raw) == where["file_size"]
        form = FormData({"chat_id": "6", "caption": "done"})
        form.add_field("photo", b"bytes", filename="a.jpg")
        assert (await call(providers.TELEGRAM, "POST", f"{BOT}/sendPhoto", data=form))[0] == 200
        sent = await call(providers.TELEGRAM, "POST", f"{BOT}/sendMessage", json={"chat_id": 5, "text": "hi"})
        edit = {"chat_id": 5, "message_id": sent[1]["result"]["message_id"], "text": "hi there"}
        assert (await call(providers.TELEGRAM, "POST", f"{BOT}/editMessageText", json=edit))[0] == 200
        replies = (await control("GET", "/replies?after=0"))["replies"]
        assert [(r["chat_id"], r["method"]) for r in replies] == [
            (6, "sendPhoto"),
            (5, "sendMessage"),
            (5, "editMessageText"),
        ]
        assert (await control("GET", f"/replies?after={replies[-1]['number']}"))["replies"] == []

    scenario(body)


def test_telegram_refuses_what_the_real_one_refuses():
    async def body(call, control, stand_ins):
        async def send(words):
            return await call(providers.TELEGRAM, "POST", f"{BOT}/sendMessage", json={"chat_id": 1, "text": words})

        assert (await send(" "))[0] == 400
        assert (await send("x" * 4097))[0] == 400
        await control("POST", "/settings", {"telegram_per_second": 2})
        answers = [await send("x") for _unused in range(3)]
        assert [status for status, _unused in answers] == [200, 200, 429]
        assert answers[2][1]["parameters"] == {"retry_after": 1}

    scenario(body)


def test_a_second_poller_ends_the_first():
    async def body(call, control, stand_ins):
        first = asyncio.create_task(call(providers.TELEGRAM, "POST", f"{BOT}/getUpdates", data={"timeout": "20"}))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(call(providers.TELEGRAM, "POST", f"{BOT}/getUpdates", data={"timeout": "20"}))
        assert (await asyncio.wait_for(first, 5))[0] == 409
        await control("POST", "/messages", [{"chat_id": 5, "text": "hello"}])
        assert len((await asyncio.wait_for(second, 5))[1]["result"]) == 1

    scenario(body)


def test_faults_hit_what_they_name_and_end():
    async def body(call, control, stand_ins):
        await control(
            "POST", "/faults", {"kind": "openai", "mode": "status", "status": 429, "retry_after": 2, "count": 1}
        )
        assert (await chat(call))[0] == 429
        assert (await chat(call))[0] == 200
        await control("POST", "/faults", {"kind": "openai.chat_stream", "mode": "cut"})
        assert (await chat(call))[0] == 200
        with pytest.raises(Exception, match=r"(?i)payload|disconnected|reset"):
            await chat(call, stream=True)
        await control("DELETE", "/faults")
        assert (await chat(call, stream=True))[0] == 200
        assert "error" in await control("POST", "/faults", {"kind": "x", "mode": "nonsense"})

    scenario(body)


def test_share_of_calls_hit():
    import random

    faults = Faults(random.Random(1))
    faults.active.append(Fault("fal", "status", rate=0.25))
    hits = sum(faults.take("fal.submit") is not None for _unused in range(4000))
    assert 900 < hits < 1100
    assert faults.take("deepl.translate") is None


def test_latency_has_its_percentiles():
    import random

    chance = random.Random(1)
    values = sorted(Latency(0.2, 0.5).draw(chance) for _unused in range(20_000))
    assert values[10_000] == pytest.approx(0.2, rel=0.05)
    assert values[19_000] == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    ("host", "method", "where", "kind"),
    [
        (providers.FAL_QUEUE, "POST", "/fal-ai/flux/schnell", "fal.submit"),
        (providers.FAL_QUEUE, "GET", "/fal-ai/flux/requests/1/status", "fal.status"),
        (providers.FAL_QUEUE, "GET", "/fal-ai/flux/requests/1", "fal.result"),
        (providers.FAL_MEDIA, "GET", "/files/a.jpg", "fal.media"),
        (providers.TELEGRAM, "POST", "/bot1:x/sendMessage", "telegram.sendMessage"),
        (providers.DEEPL[1], "POST", "/v2/translate", "deepl.translate"),
        (providers.OPENAI, "POST", "/v1/embeddings", "openai.embeddings"),
        ("example.org", "GET", "/", "unknown"),
    ],
)
def test_kinds(host, method, where, kind):
    assert kind_of(host, method, where) == kind


def test_kind_of_a_chat_depends_on_its_body():
    assert kind_of(providers.OPENAI, "POST", "/v1/chat/completions", b'{"stream": true}') == "openai.chat_stream"
    for body in (b"", b"[]", b'{"stream": false}', b"\xff"):
        assert kind_of(providers.OPENAI, "POST", "/v1/chat/completions", body) == "openai.chat"


def test_tokens_lose_nothing():
    answer = text.completion(QUESTION)
    assert "".join(text.tokens(answer)) == answer


def test_stand_ins_keep_their_address_and_evade_others():
    subnet = "198.18.77.0/24"
    first = choose_address("demo", set(), subnet)
    assert choose_address("demo", {"198.18.77.2"}, subnet) == first
    assert choose_address("demo", {first}, subnet) not in {first, ""}
    everything = {f"198.18.77.{number}" for number in range(256)}
    with pytest.raises(SandboxError, match="taken"):
        choose_address("demo", everything, subnet)
