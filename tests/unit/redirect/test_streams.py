# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stream whose gateway is lost in its middle goes on from the provider, or fails as it would have."""

from __future__ import annotations

import json

import pytest
from headroom_redirect.continuation import END, LONGEST_EVENT, MOST_BYTES, Continuation, Delivered, Different, split

HTTPX = ("httpx", "httpx async")
DONE = b"data: [DONE]\n\n"
HANG_UP, SILENCE = None, 0


def chunk(content=None, *, number="one", finish=None, **delta):
    fields = {**({} if content is None else {"content": content}), **delta}
    choices = [{"index": 0, "delta": fields, "logprobs": None, "finish_reason": finish}]
    body = {"id": f"chatcmpl-{number}", "created": len(number), "object": "chat.completion.chunk", "choices": choices}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def stream(*texts, number="one"):
    begin, end = chunk("", number=number, role="assistant", refusal=None), chunk(number=number, finish="stop")
    return [begin, *(chunk(text, number=number) for text in texts), end, DONE]


def read(text):
    """Return the text of a stream as an application puts it together, and its finish reasons."""
    events = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert {one["id"] for one in chunks} == {"chatcmpl-one"}
    assert {one["created"] for one in chunks} == {3}
    choices = [one["choices"][0] for one in chunks if one["choices"]]
    said = "".join(choice["delta"].get("content") or "" for choice in choices)
    return said, [choice["finish_reason"] for choice in choices if choice["finish_reason"]]


WORDS = ("A quiet ", "river ", "suits the ", "winter, ", "for it ", "sleeps.")
TEXT = "".join(WORDS)


@pytest.fixture
def ask(application):
    def send(client, **order):
        return application(client, stream=True, method="POST", body='{"stream": true}', **order)

    return send


@pytest.mark.parametrize("client", [*HTTPX, "httpx2", "httpx2 async"])
@pytest.mark.parametrize("heard", [0, 1, 4, len(WORDS) + 1, len(WORDS) + 2])
def test_the_rest_comes_from_the_provider(ask, gateway, provider, client, heard):
    gateway.events = [*stream(*WORDS)[:heard], HANG_UP]
    provider.events = stream("A qui", "et river suits t", "he winter, for", " it sleeps.", number="another")
    result = ask(client)
    assert result["error"] is None, result["stderr"]
    ((status, text, busy),) = result["answers"]
    assert (status, busy) == (200, 0)
    if heard:
        assert read(text) == (TEXT, ["stop"])
    assert [seen.body for seen in provider.seen] == [b'{"stream": true}']
    assert provider.seen[0].headers["accept-encoding"] == "identity"
    assert result["stderr"].count("lost in the middle of a stream") == 1


@pytest.mark.parametrize("client", HTTPX)
def test_who_stops_at_the_mark_and_reads_on_has_asked_once(ask, gateway, provider, client):
    gateway.events, provider.events = [*stream(*WORDS)[:3], HANG_UP], stream(*WORDS, number="another")
    ((status, text, busy),) = ask(client, until=DONE.decode())["answers"]
    assert (status, busy, read(text)) == (200, 0, (TEXT, ["stop"]))
    assert len(provider.seen) == 1


@pytest.mark.parametrize("client", HTTPX)
def test_who_stops_reading_holds_no_connection(ask, gateway, provider, client):
    gateway.events, provider.events = [*stream(*WORDS)[:3], HANG_UP], stream(*WORDS, number="another")
    third = chunk(WORDS[2]).decode()
    ((status, text, busy),) = ask(client, until=third)["answers"]
    assert (status, busy) == (200, 0)
    assert text == b"".join(stream(*WORDS)[:4]).decode()


@pytest.mark.parametrize("client", HTTPX)
@pytest.mark.parametrize(
    "second",
    [
        stream("A quiet ", "lake ", "suits the winter."),  # other words
        stream("A quiet "),  # fewer
        [*stream(*WORDS)[:4], HANG_UP],  # cut off, too
        [chunk("", role="assistant"), chunk(tool_calls=[{"index": 0}])],  # no text
        [b'data: {"error": {"message": "overloaded"}}\n\n'],
        [chunk([{"type": "thinking"}])],  # Mistral's
    ],
)
def test_another_answer_is_no_continuation(ask, gateway, provider, client, second):
    gateway.events, provider.events = [*stream(*WORDS)[:3], HANG_UP], second
    assert ask(client)["error"] == "RemoteProtocolError"
    assert len(provider.seen) == 1


@pytest.mark.parametrize("client", HTTPX)
def test_a_provider_that_refuses_leaves_the_failure(ask, gateway, provider, client):
    gateway.events, provider.mode = [*stream(*WORDS)[:3], HANG_UP], "failure"
    assert ask(client)["error"] == "RemoteProtocolError"


@pytest.mark.parametrize("client", HTTPX)
def test_what_the_gateway_does_not_keep_is_not_asked_again(ask, gateway, provider, client):
    gateway.events, gateway.mark = [*stream(*WORDS)[:3], HANG_UP], "BYPASS"
    provider.events = stream(*WORDS)
    assert ask(client)["error"] == "RemoteProtocolError"
    assert provider.seen == []


@pytest.mark.parametrize("client", HTTPX)
def test_a_whole_stream_is_handed_on_byte_for_byte(ask, gateway, provider, client):
    gateway.events = [*stream(*WORDS), b": a comment\n", b"no end"]
    ((_status, text, _busy),) = ask(client)["answers"]
    assert text.encode() == b"".join(gateway.events)
    assert provider.seen == []


def test_an_answer_that_was_there_already_is_not_asked_for(ask, gateway, provider):
    gateway.events = [*stream(*WORDS), HANG_UP]
    ((_status, text, _busy),) = ask("httpx")["answers"]
    assert read(text) == (TEXT, ["stop"])
    assert provider.seen == []


@pytest.mark.parametrize("client", ["httpx async", "httpx2 async"])
def test_a_stream_that_the_application_closes_is_not_asked_for(ask, gateway, provider, client):
    gateway.events, provider.events = [*stream(*WORDS)[:3], SILENCE], stream(*WORDS)
    assert ask(client, close_after=0.5)["error"] is not None
    assert provider.seen == []


def test_a_stream_whose_client_the_application_closes_is_not_asked_for(program, gateway, provider):
    gateway.events, provider.events = [*stream(*WORDS)[:3], SILENCE], stream(*WORDS)
    said, errors = program(
        """
        import asyncio, httpx
        async def main():
            client = httpx.AsyncClient()
            async with client.stream("POST", URL) as response:
                closing = asyncio.ensure_future(close_after(client))
                try:
                    async for _part in response.aiter_bytes():
                        pass
                except httpx.TransportError as error:
                    print(type(error).__name__)
                await closing
        async def close_after(client):
            await asyncio.sleep(0.5)
            await client.aclose()
        asyncio.run(main())
        """
    )
    assert (said, errors, provider.seen) == ("ReadError\n", "", [])


def test_a_stream_whose_client_is_closed_by_another_thread_is_not_asked_for(program, gateway, provider):
    gateway.events, provider.events = [*stream(*WORDS)[:3], SILENCE], stream(*WORDS)
    said, errors = program(
        """
        import httpx, threading
        client = httpx.Client()
        with client.stream("POST", URL) as response:
            threading.Timer(0.5, client.close).start()
            try:
                for _part in response.iter_bytes():
                    pass
            except httpx.TransportError as error:
                print(type(error).__name__)
        """
    )
    assert (said, errors, provider.seen) == ("ReadError\n", "", [])


@pytest.mark.parametrize("second", ["Hello", "Hello world"])
def test_an_answer_that_had_ended_does_not_go_on(second):
    delivered = Delivered()
    delivered.take(b"".join(stream("Hello")[:-1]))
    rest = Continuation(delivered)
    if second == "Hello":
        assert b"".join(map(rest.feed, stream(second))) == DONE
    else:
        with pytest.raises(Different):
            list(map(rest.feed, stream("Hello", " world")))


def test_a_mark_without_its_end_counts():
    delivered = Delivered()
    delivered.take(b"".join(stream("Hello")[:2]))
    rest = Continuation(delivered)
    for part in [*stream("Hello")[:-1], DONE[:-1], END]:
        rest.feed(part)
    assert rest.complete


def test_only_whole_events_are_handed_on():
    delivered = Delivered()
    given = [delivered.take(part) for part in (b"data: 1\n", b"\ndata: 2\r\n\r\nda", b"ta: 3\n", b"\n")]
    assert given == [b"", b"data: 1\n\ndata: 2\r\n\r\n", b"", b"data: 3\n\n"]
    assert delivered.events() == b"data: 1\n\ndata: 2\r\n\r\ndata: 3\n\n"


@pytest.mark.parametrize("data", [b"", b"a", b"\n", b"a\n", b"\r\n", b"a\r\n"])
def test_no_whole_event(data):
    assert split(data) == (b"", data)


@pytest.mark.parametrize("part", [b"x" * (LONGEST_EVENT + 1), b"data: 1\n\n" * (MOST_BYTES // 9 + 1) + b"x"])
def test_what_is_too_long_is_handed_on_and_forgotten(part):
    delivered = Delivered()
    assert delivered.take(part) + delivered.take(b"y") + delivered.end() == part + b"y"
    with pytest.raises(Different):
        Continuation(delivered)


@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.parametrize("choices", ["[]", '[{"index": 0, "delta": {"content": ""}, "finish_reason": null}]'])
def test_the_usage_comes_once(usage, choices):
    counted = b'data: {"object": "chat.completion.chunk", "choices": %b, "usage": {"n": 1}}\n\n' % choices.encode()
    first, second = stream("one"), [*stream("one")[:-1], counted, DONE]
    delivered = Delivered()
    delivered.take(b"".join(first[:-1]) + (counted if usage else b""))
    rest = Continuation(delivered)
    came = b"".join(map(rest.feed, second))
    assert came.count(b"usage") == (not usage)
    assert came.endswith(DONE) and rest.complete


def test_every_cut_and_every_other_division_gives_the_same_text():
    """All places to be cut at, against every size of the second answer's pieces."""
    first = stream(*TEXT)
    for heard in range(1, len(first)):
        for size in (1, 2, 3, 5, 8, len(TEXT)):
            pieces = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
            delivered = Delivered()
            got = delivered.take(b"".join(first[:heard]))
            rest = Continuation(delivered)
            for event in stream(*pieces, number="two"):
                got += rest.feed(event[:7]) + rest.feed(event[7:])
            assert rest.complete
            assert read(got.decode()) == (TEXT, ["stop"])
