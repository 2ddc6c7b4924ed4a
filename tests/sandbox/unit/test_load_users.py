# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import asyncio

import pytest

from sandbox.load.targets import NotASandbox, check
from sandbox.load.users import Crowd, Limits, answer_digest, message, verdict
from sandbox.load.workload import Request, Workload


def text(words):
    return {"method": "sendMessage", "text": words}


@pytest.mark.parametrize(
    ("reply", "meaning"),
    [
        (text("⏳"), "wait"),
        (text("⏳ Drawing, 3 in the queue"), "wait"),
        ({"method": "editMessageText", "text": "The sea is ▌"}, "wait"),
        ({"method": "editMessageText", "text": "The sea is salty."}, "answer"),
        (text("Forgotten."), "answer"),
        (text("⚠️ Something went wrong, please try again later"), "failed"),
        ({"method": "sendPhoto", "caption": "", "sha256": "ab"}, "answer"),
    ],
)
def test_what_a_reply_means(reply, meaning):
    assert verdict(reply) == meaning


def test_messages_carry_the_command_of_their_kind():
    def typed(kind):
        return message(Request(kind, "a fox", 0, 1.0, None, ""))

    assert typed("image") == "/image a fox"
    assert typed("translate") == "/translate a fox"
    assert typed("text") == typed("stream") == "a fox"


def test_answers_are_told_apart_by_what_the_user_got():
    assert answer_digest(text("a")) == answer_digest({"method": "editMessageText", "text": "a"})
    assert answer_digest(text("a")) != answer_digest(text("b"))
    assert answer_digest({"method": "sendPhoto", "sha256": "1"}) != answer_digest(
        {"method": "sendPhoto", "sha256": "2"}
    )


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://198.18.77.3:8000/", "http://localhost:1", "http://10.1.2.3"]
)
def test_addresses_of_a_sandbox_are_taken(url):
    assert check(url) == url.rstrip("/")


@pytest.mark.parametrize("url", ["https://api.openai.com", "http://8.8.8.8", "http://1.1.1.1:8000", "nonsense", ""])
def test_any_other_address_is_refused(url):
    with pytest.raises(NotASandbox):
        check(url)


class Silent:
    """Providers whose bot answers nothing, and an API that does."""

    async def write(self, *_message):
        pass

    async def replies(self):
        await asyncio.Event().wait()
        yield {}

    async def call(self, *_request):
        return 200, {"queue": 0, "running": 0, "id": "1", "status": "finished"}, 0.0


def test_told_to_end_nobody_waits_longer_for_an_answer_than_the_drain():
    async def run():
        work = Workload(1, 0.83, 10, "talk", "constant:0")
        crowd = Crowd(Silent(), Silent(), work, Limits(seconds=3600, drain=0.2))
        asyncio.get_running_loop().call_later(0.1, crowd.stop)
        return crowd, await asyncio.wait_for(crowd.run(2), 10)

    crowd, drained = asyncio.run(run())
    assert 0.2 <= drained < 5
    assert sum(tally.sent for tally in crowd.bot.values()) == 2


def test_answers_of_the_web_side_are_noted_too():
    class Talkative(Silent):
        async def call(self, _method, path, body=None):
            return 200, {"answer": body["text"]} if path == "/api/chat" else {"queue": 0, "running": 0}, 0.0

    async def run():
        crowd = Crowd(Silent(), Talkative(), Workload(1, 0.83, 10, "talk", "constant:0"), Limits(1, 0))
        await crowd._visit(3, 7, 100_004, Request("text", "a", 0, 0.0, "chat", "a fox"))
        await crowd._visit(3, 8, 100_004, Request("text", "a", 0, 0.0, "stats", "a fox"))
        return crowd.web_answers

    (answer,) = asyncio.run(run())
    assert (answer["user"], answer["number"], answer["kind"]) == (3, 7, "api chat")
    assert answer["answer"] == answer_digest(text("a fox"))
