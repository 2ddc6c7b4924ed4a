# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from headroom_gateway.answers import events, why_not
from headroom_gateway.http_message import Head

JSON = ((b"content-type", b"application/json"),)
SSE = [(b"content-type", b"text/event-stream; charset=utf-8")]


def chat(**changes):
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop", **changes}
    return {"choices": [choice]}


def judge(answer, fields, status=200, headers=JSON):
    return why_not(answer, Head(status, headers), json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        ("chat", chat()),
        ("chat", chat(finish_reason="length")),
        ("chat", chat(message={"content": None, "tool_calls": [{}]}, finish_reason="tool_calls")),
        ("messages", {"content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn"}),
        ("gemini", {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}]}),
        ("fal_result", {"images": [{"url": "https://a"}], "has_nsfw_concepts": [False]}),
        ("fal_submit", {"request_id": "5"}),
        ("json", {"data": [1]}),
    ],
)
def test_whole_answers_are_kept(answer, fields):
    assert judge(answer, fields) == ""


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        ("chat", {"choices": []}),
        ("chat", {}),
        ("chat", {"choices": "x"}),
        ("chat", {"choices": [1]}),
        ("chat", {"error": {"message": "x"}, **chat()}),
        ("chat", chat(finish_reason=None)),
        ("chat", chat(finish_reason="content_filter")),
        ("chat", chat(message={"content": ""})),
        ("chat", chat(message={"content": "x", "refusal": "no"})),
        ("chat", {"choices": [chat()["choices"][0], chat(finish_reason="content_filter")["choices"][0]]}),
        ("messages", {"content": [], "stop_reason": "end_turn"}),
        ("messages", {"content": [{}], "stop_reason": "refusal"}),
        ("messages", {"content": [{}], "stop_reason": "pause_turn"}),
        ("messages", {"content": [{}], "stop_reason": None}),
        ("gemini", {"promptFeedback": {"blockReason": "SAFETY"}}),
        ("gemini", {"candidates": [{"content": {"parts": [{}]}, "finishReason": "SAFETY"}]}),
        ("gemini", {"candidates": [{"content": {}, "finishReason": "STOP"}]}),
        ("fal_result", {"detail": "not found"}),
        ("fal_result", {"images": []}),
        ("fal_result", {"images": [{}], "has_nsfw_concepts": [True]}),
        ("fal_result", {}),
        ("fal_submit", {"status": "IN_QUEUE"}),
        ("json", {}),
        ("json", [1]),
    ],
)
def test_what_is_no_answer_is_not_kept(answer, fields):
    assert judge(answer, fields) != ""


@pytest.mark.parametrize("status", [201, 202, 204, 206, 301, 400, 401, 404, 429, 456, 500, 503])
def test_only_200_is_kept(status):
    assert judge("chat", chat(), status) == f"status {status}"


@pytest.mark.parametrize("header", [(b"content-encoding", b"gzip"), (b"set-cookie", b"a=b")])
def test_headers_that_forbid_it(header):
    assert judge("chat", chat(), headers=[*JSON, header]) != ""


BOTS = (b"set-cookie", b"__cf_bm=x.y-1790000000; path=/; expires=Mon, 21-Sep-26 14:43:20 GMT; HttpOnly; Secure")
LIMITS = (b"set-cookie", b"_cfuvid=z; path=/; domain=.api.openai.com; HttpOnly; Secure; SameSite=None")


def test_cookies_of_the_network_before_the_provider_forbid_nothing():
    assert judge("chat", chat(), headers=[*JSON, BOTS, LIMITS]) == ""
    assert judge("chat", chat(), headers=[*JSON, BOTS, (b"set-cookie", b"session=1"), LIMITS]) == "sets a cookie"
    assert judge("chat", chat(), headers=[*JSON, (b"set-cookie", b"a=__cf_bm=x")]) == "sets a cookie"


def test_half_a_body_is_no_json():
    body = json.dumps(chat()).encode()
    for size in range(len(body)):
        assert why_not("chat", Head(200, JSON), body[:size]) != ""


def streamed(*chunks, end="data: [DONE]\n\n"):
    return ("".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + end).encode()


def piece(content=None, reason=None, index=0):
    return {"choices": [{"index": index, "delta": {"content": content} if content else {}, "finish_reason": reason}]}


WHOLE = streamed(piece("a"), piece("b"), piece(reason="stop"), {"choices": [], "usage": {"total_tokens": 3}})


def test_a_stream_with_its_end_is_kept():
    assert why_not("chat", Head(200, SSE), WHOLE) == ""
    assert why_not("chat", Head(200, SSE), WHOLE.replace(b"\n", b"\r\n")) == ""
    assert why_not("chat", Head(200, SSE), b": ping\n\n" + WHOLE) == ""


def test_a_stream_cut_anywhere_is_not_kept():
    for size in range(len(WHOLE)):
        assert why_not("chat", Head(200, SSE), WHOLE[:size]) != "", WHOLE[:size]


@pytest.mark.parametrize(
    "body",
    [
        streamed(piece("a"), piece(reason="content_filter")),
        streamed(piece("a")),
        streamed(piece("a"), piece("b", index=1), piece(reason="stop")),
        streamed(piece(reason="stop")),
        streamed(piece("a"), {"error": {"message": "overloaded"}}),
        b"data: {half\n\ndata: [DONE]\n\n",
    ],
)
def test_streams_that_are_no_answer(body):
    assert why_not("chat", Head(200, SSE), body) != ""


def test_anthropics_stream():
    head = Head(200, SSE)
    whole = (
        'event: message_start\ndata: {"type":"message_start"}\n\n'
        'event: content_block_delta\ndata: {"delta":{"text":"x"}}\n\n'
        'event: message_delta\ndata: {"delta":{"stop_reason":"end_turn"}}\n\n'
        'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )
    assert why_not("messages", head, whole.encode()) == ""
    for size in range(len(whole)):
        assert why_not("messages", head, whole[:size].encode()) != ""
    assert why_not("messages", head, whole.replace("end_turn", "refusal").encode()) == "ended by refusal"
    error = 'event: error\ndata: {"type":"error"}\n\n'
    assert why_not("messages", head, (error + whole).encode()) == "holds an error"


def test_a_stream_on_a_route_without_streams_is_not_kept():
    assert why_not("gemini", Head(200, SSE), WHOLE) == "a stream"


def test_images():
    def image(kind=b"image/jpeg", body=b"x", **more):
        headers = [(b"content-type", kind)] + [(n.replace("_", "-").encode(), v) for n, v in more.items()]
        return why_not("image", Head(200, headers), body)

    assert image() == "" and image(cache_control=b"public, max-age=600") == ""
    assert image(kind=b"text/html") and image(body=b"") and image(cache_control=b"private") and image(set_cookie=b"a")


def test_events_of_several_lines():
    assert list(events(b"event: a\ndata: 1\ndata: 2\n\ndata:3\n\ndata: 4\n")) == [("a", "1\n2"), ("", "3")]
