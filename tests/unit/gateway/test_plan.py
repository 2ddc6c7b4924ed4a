# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from headroom_gateway.plan import decide, has_value, locate, lookup, quota, whole_key

CHAT = "/openai/v1/chat/completions"
BODY = {"model": "m", "temperature": 0, "messages": [{"role": "user", "content": "x"}]}


def test_a_url_names_host_and_path():
    assert locate(b"/api.openai.com/v1/models?a=/b") == ("api.openai.com", b"/v1/models?a=/b")
    assert locate(b"/openai") == ("openai", b"/")
    assert locate(b"/openai?x=1") == ("openai", b"/?x=1")
    assert locate(b"/openai/") == ("openai", b"/")


def test_alias_and_host_are_one_place(call_to):
    by_alias = decide(call_to(CHAT, BODY))
    by_host = decide(call_to("/api.openai.com/v1/chat/completions", BODY))
    assert by_alias.cached and by_alias.key == by_host.key


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"temperature": 0.7}, "temperature is not 0"),
        ({"temperature": None}, "temperature is not 0"),
        ({"temperature": False}, "temperature is not 0"),
        ({"temperature": "0"}, "temperature is not 0"),
        ({"tools": [{"type": "function"}]}, "has tools"),
        ({"functions": [{}]}, "has functions"),
        ({"web_search_options": {"a": 1}}, "has web_search_options"),
        ({"web_search_options": {}}, "has web_search_options"),
        ({"model": "gpt-4o-search-preview-2025-03-11"}, "a model that is not kept"),
        ({"store": True}, "has store"),
    ],
)
def test_a_chat_that_is_not_deterministic_passes_through(call_to, change, reason):
    plan = decide(call_to(CHAT, {**BODY, **change}))
    assert (plan.cached, plan.reason) == (False, reason)


@pytest.mark.parametrize(
    ("provider", "change"),
    [
        ("openrouter", {"model": "openai/gpt-4o:online"}),
        ("openrouter", {"model": "OpenAI/GPT-4o:Online"}),
        ("openrouter", {"model": "perplexity/sonar-pro"}),
        ("openrouter", {"model": "perplexity/llama-3.1-sonar-large-128k-online"}),
        ("openrouter", {"model": "@preset/mine"}),
        ("openrouter", {"preset": "mine"}),
        ("openrouter", {"models": ["a", "perplexity/sonar"]}),
        ("openrouter", {"plugins": [{"id": "web"}]}),
        ("groq", {"model": "groq/compound-mini"}),
        ("groq", {"model": "compound-beta"}),
    ],
)
def test_what_searches_or_is_changed_at_the_provider_passes_through(call_to, provider, change):
    path = f"/{provider}/v1/chat/completions"
    assert not decide(call_to(path, {**BODY, **change})).cached
    assert decide(call_to(path, {**BODY, "model": "meta-llama/llama-3.3-70b-instruct"})).cached
    assert decide(call_to(path, {**BODY, "model": None})).cached


@pytest.mark.parametrize("name", ["glossary_id", "glossary_ids", "style_id", "translation_memory_id"])
def test_a_translation_by_what_may_be_changed_at_deepl_passes_through(call_to, name):
    body = {"text": ["x"], "target_lang": "DE"}
    assert decide(call_to("/deepl/v2/translate", body)).cached
    assert decide(call_to("/deepl/v2/translate", {**body, name: "g1"})).reason == f"has {name}"


@pytest.mark.parametrize("url", ["/queue.fal.run/fal-ai/flux", "/fal.run/fal-ai/flux"])
def test_a_picture_with_a_life_of_its_own_passes_through(call_to, url):
    name = "x-fal-object-lifecycle-preference"
    call = call_to(url, {"prompt": "x", "seed": 1}, **{name: '{"expiration_duration_seconds": 3600}'})
    plan = decide(call)
    assert (plan.cached, plan.reason) == (False, f"has {name}:")
    # Nor would it be given to somebody else where the operator allows it.
    plain = call_to(url, {"prompt": "x", "seed": 1})
    assert decide(plain).key not in (b"", whole_key(call, plan.credential, plan.fields))


def test_a_version_of_groqs_has_a_key_of_its_own(call_to):
    path = "/groq/openai/v1/chat/completions"
    one, other = decide(call_to(path, BODY)), decide(call_to(path, BODY, groq_model_version="latest"))
    assert one.cached and other.cached and one.key != other.key


@pytest.mark.parametrize("change", [{}, {"temperature": 0.0}, {"tools": []}, {"tools": None}, {"store": False}])
def test_a_deterministic_chat_is_looked_up(call_to, change):
    assert decide(call_to(CHAT, {**BODY, **change})).cached


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer sk-two"},
        {"x_api_key": "two"},
        {"openai_organization": "org-2"},
        {"openai_project": "p-2"},
    ],
)
def test_another_account_has_another_key(call_to, headers):
    first = decide(call_to(CHAT, BODY, authorization="Bearer sk-one"))
    second = decide(call_to(CHAT, BODY, **{"authorization": "Bearer sk-one", **headers}))
    assert first.cached and second.cached and first.key != second.key


def test_a_credential_in_the_query_counts(call_to):
    url = "/gemini/v1beta/models/g:generateContent?key="
    body = {"contents": [], "generationConfig": {"temperature": 0}}
    calls = call_to(url + "one", body), call_to(url + "two", body)
    one, two = map(decide, calls)
    assert one.cached and one.key != two.key and quota(calls[0], one) != quota(calls[1], two)


@pytest.mark.parametrize(
    ("url", "body", "headers"),
    [
        ("/openai/v1/responses", {"model": "a"}, {}),
        (CHAT, {"model": "a"}, {"cache_control": "no-store"}),
        ("/gemini/v1beta/models/a:streamGenerateContent", {"contents": []}, {}),
    ],
)
def test_a_limit_counts_for_one_model_and_path_of_an_account_whatever_the_policy_says(call_to, url, body, headers):
    def limit(url, body, credential="Bearer sk-one"):
        call = call_to(url, body, authorization=credential, **headers)
        plan = decide(call)
        assert not plan.cached
        return quota(call, plan)

    one = limit(url, body)
    assert one == limit(url, {**body, "user": "x"}) and one != limit(url, body, "Bearer sk-two")
    assert one not in (limit(url, {**body, "model": "b"}), limit("/openai/v1/audio/speech", body))


def test_a_limit_of_a_body_without_a_model(call_to):
    limits = set()
    for raw in (b"", b"no JSON", b"[1]", b"\xff", b'{"model": 1, "model": 2}', None):
        call = call_to("/openai/v1/files", raw=raw)
        limits.add(quota(call, decide(call)))
    assert len(limits) == 1


def test_headers_that_do_not_matter_do_not_count(call_to):
    one = decide(call_to(CHAT, BODY, user_agent="a", x_stainless_retry_count="0"))
    assert one.key == decide(call_to(CHAT, BODY, user_agent="b", x_stainless_retry_count="1")).key


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"cache_control": "no-store"}, "no-store"),
        ({"cache_control": "max-age=0, NO-STORE"}, "no-store"),
        ({"range": "bytes=0-9"}, "range"),
        ({"content_encoding": "gzip"}, "content-encoding"),
        ({"content_type": "multipart/form-data; boundary=x"}, "not JSON"),
        ({"content_type": "application/x-www-form-urlencoded"}, "not JSON"),
    ],
)
def test_what_the_head_alone_decides(call_to, headers, reason):
    plan = decide(call_to(CHAT, BODY, **headers))
    assert (plan.cached, plan.reason) == (False, reason)


def test_no_cache_asks_again_and_keeps_the_answer(call_to):
    plan = decide(call_to(CHAT, BODY, cache_control="no-cache"))
    assert plan.cached and not plan.read
    assert not decide(call_to(CHAT, BODY, pragma="no-cache")).read
    assert decide(call_to(CHAT, BODY, cache_control="max-age=60")).max_age == 60


def test_a_body_that_cannot_be_trusted_passes_through(call_to):
    assert decide(call_to(CHAT, raw=b'{"temperature": 0, "temperature": 1}')).reason.startswith("body:")
    assert decide(call_to(CHAT, raw=b"[1]")).reason == "body is no object"
    call = call_to(CHAT, BODY)
    call.request.body = None
    assert decide(call).reason == "body is too long"


@pytest.mark.parametrize(
    "url", ["/openai/v1/files", "/openai/v1/audio/speech", "/replicate/v1/predictions", "/anthropic/v1/models"]
)
def test_what_no_route_names_passes_through(call_to, url):
    assert decide(call_to(url, BODY)).reason == "no route"


def test_images_are_kept_with_a_seed_only(call_to):
    url = "/queue.fal.run/fal-ai/flux/schnell"
    assert decide(call_to(url, {"prompt": "x"})).reason == "seed is not set"
    assert decide(call_to(url, {"prompt": "x", "seed": None})).reason == "seed is not set"
    assert decide(call_to(url, {"prompt": "x", "seed": -1})).reason == "seed is not set"
    assert decide(call_to(url, {"prompt": "x", "seed": 0})).cached
    assert decide(call_to(url + "?fal_webhook=https://a", {"prompt": "x", "seed": 1})).reason == "has ?fal_webhook"
    assert decide(call_to("/openai/v1/images/generations", {"prompt": "x"})).reason == "seed is not set"


def test_variants_are_so_many_keys(policy, call_to):
    import dataclasses

    call = call_to("/openai/v1/images/generations", {"prompt": "x"})
    route = dataclasses.replace(call.route, variants=3)
    call = dataclasses.replace(call, route=route)
    keys = {decide(call, draw / 100).key for draw in range(100)}
    assert len(keys) == 3
    fal = call_to("/queue.fal.run/fal-ai/flux", {"prompt": "x", "seed": 3})
    fal = dataclasses.replace(fal, route=dataclasses.replace(fal.route, variants=3))
    assert len({decide(fal, draw / 100).key for draw in range(100)}) == 1  # a seed decides by itself


def test_fal_paths_are_told_apart(call_to):
    path = "/queue.fal.run/fal-ai/flux/requests/5"
    kinds = [
        call_to("/queue.fal.run/fal-ai/flux/schnell", {}).route.name,
        call_to(path + "/status?logs=0", method="GET").route.name,
        call_to(path, method="GET").route.name,
        call_to(path + "/cancel", method="PUT").route.name,
    ]
    assert kinds == ["submit", "status", "result", "cancel"]
    assert call_to(path + "/response", method="GET").route.name == "response"
    assert decide(call_to(path + "/status/stream", method="GET")).reason == "route is off"


def test_fields_by_their_path():
    assert lookup({"a": {"b": 3}}, "a.b") == 3
    assert lookup({"a": [1]}, "a.b") is None
    assert has_value(0, 0) and has_value(0.0, 0) and not has_value(False, 0) and not has_value(None, 0)
    assert has_value(True, True) and not has_value(1, True)
