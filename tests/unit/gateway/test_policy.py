# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest
from headroom_gateway import policy as policies
from headroom_gateway.plan import decide
from headroom_gateway.policy import load
from headroom_gateway.tables import PolicyError


def laid_over(tmp_path, text):
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return load(str(path))


def test_a_host_is_reached_only_when_it_is_named(policy):
    assert policy.find("api.openai.com")[0].name == "openai"
    assert policy.find("API.OpenAI.com")[1] == "api.openai.com"
    assert policy.find("v9.fal.media")[0].name == "fal_media"
    for name in ("api.telegram.org", "evil.com", "fal.media.evil.com", "xfal.media", "a@b.fal.media", "", "metrics"):
        assert policy.find(name) is None


def test_an_alias_goes_to_the_first_host(policy):
    assert policy.find("fal") == (policy.providers["fal"], "queue.fal.run")


def test_one_value_of_the_operators_changes_nothing_else(policy, tmp_path):
    ours = laid_over(tmp_path, "[providers.openai.routes.chat]\nttl_hours = 1\n").providers["openai"].routes[0]
    packaged = policy.providers["openai"].routes[0]
    assert (ours.ttl, packaged.ttl) == (3600, 168 * 3600)
    assert (ours.when, ours.unless, ours.path) == (packaged.when, packaged.unless, packaged.path)


def test_likeness_takes_the_operators_changes_over_too(tmp_path):
    found = laid_over(tmp_path, '[providers.openai.routes.chat]\nunless = []\n[providers.mine]\nlike = "openai"\n'
                      'hosts = ["llm.example"]\nscheme = "http"\naddress = "10.0.0.2:8000"\n')  # fmt: skip
    mine = found.providers["mine"]
    assert mine.routes[0].unless == () and mine.address == "10.0.0.2:8000" and mine.hosts == ("llm.example",)


def test_names_without_case_may_be_written_in_any(tmp_path, policy):
    found = laid_over(
        tmp_path,
        '[providers.gemini]\nhosts = ["Llm.Internal"]\ncredentials = ["X-Goog-Api-Key", "?Key"]\nvary = ["X-Version"]\n'
        '[providers.gemini.routes.generate]\nmethod = "post"\n',
    )
    mine = found.providers["gemini"]
    assert (mine.hosts, mine.vary) == (("llm.internal",), ("x-version",))
    assert mine.credentials == ("x-goog-api-key", "?Key")  # a query's parameters have a case
    assert mine.routes[0] == policy.providers["gemini"].routes[0]


def test_accounts_share_nothing_however_the_policy_writes_a_header(tmp_path, call_to):
    mine = laid_over(tmp_path, '[providers.openai]\ncredentials = ["Authorization"]\n').providers["openai"]
    keys = set()
    for credential in ("Bearer sk-one", "Bearer sk-two"):
        call = call_to("/openai/v1/embeddings", {"model": "e", "input": "x"}, authorization=credential)
        keys.add(decide(dataclasses.replace(call, provider=mine)).key)
    assert len(keys) == 2 and b"" not in keys


def test_words_of_unless(tmp_path):
    text = '[providers.openai.routes.chat]\nunless = ["toolChoice", "X-Mine:"]\nunless_model = ["*-Search", "a.b"]\n'
    route = laid_over(tmp_path, text).providers["openai"].routes[0]
    assert route.unless == ("toolChoice", "x-mine:")  # fields have a case, headers do not
    models = ("gpt-search", "-search", "a.b", "axb", "a.b.c", "")
    assert [bool(route.unless_model.fullmatch(model)) for model in models] == [True, True, True, False, False, False]
    none = laid_over(tmp_path, "[providers.openai.routes.chat]\nunless_model = []\n").providers["openai"].routes[0]
    assert none.unless_model is None


@pytest.mark.parametrize(
    ("written", "read"), [("", ""), ("llm:80", "llm:80"), ("my_llm:8000", "my_llm:8000"), ("[::1]:80", "::1:80")]
)
def test_an_address(tmp_path, written, read):
    mine = laid_over(tmp_path, f'[providers.openai]\naddress = "{written}"\n').providers["openai"]
    assert mine.address == read  # up to the last colon, it is what a connection is made to


def test_when_is_replaced_as_a_whole(tmp_path):
    found = laid_over(tmp_path, "[providers.openai.routes.chat]\nwhen = { seed = 1 }\n")
    assert found.providers["openai"].routes[0].when == (("seed", 1),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[providers.openai]\nhost = 1\n", "providers.openai: there is no setting host"),
        ("[providers.openai.routes.chat]\nttl = 1\n", "providers.openai.routes.chat: there is no setting ttl"),
        ("[cache]\nsize = 1\n", "cache: there is no setting size"),
        ("[other]\n", "there is no table other"),
        ("[providers.x]\n", "providers.x: hosts is missing"),
        ('[providers.x]\nlike = "y"\n', "like = 'y'"),
        ('[providers.x]\nlike = "x"\n', "like = 'x'"),
        ('[providers.x]\nhosts = ["*.a"]\n', "the first of hosts"),
        ('[providers."x y"]\nhosts = ["a"]\n', "made of a-z"),
        ('[providers.openai.routes.chat]\nstore = "maybe"\n', "store is matching, always or never"),
        ('[providers.openai.routes.chat]\nanswer = "poem"\n', "answer is one of"),
        ('[providers.openai.routes.chat]\nanswer = "items"\n', "belong together"),
        ('[providers.openai]\nscheme = "ftp"\n', "http or https"),
        ("[providers.fal.routes.submit]\nttl_hours = 160\n", "168"),
        ("[providers.fal_run.routes.run]\ngrace_hours = 100\n", "168"),
        (
            '[providers.openai]\nconcurrency = "2"\n',
            "providers.openai: concurrency is a whole number, at least 0, not '2'",
        ),
        ("[providers.openai]\nconcurrency = 1.5\n", "concurrency is a whole number"),
        ("[providers.openai]\nconcurrency = true\n", "concurrency is a whole number"),
        ("[providers.openai]\nconcurrency = -1\n", "concurrency is a whole number, at least 0, not -1"),
        ('[providers.openai]\nfirst_byte_seconds = "x"\n', "first_byte_seconds is a number"),
        ("[providers.openai]\nidle_seconds = 0\n", "idle_seconds is a number, at least 0.001, not 0"),
        ("[providers.openai]\nper_minute = inf\n", "per_minute is a number"),
        ("[providers.openai]\nper_minute = nan\n", "per_minute is a number"),
        ('[providers.openai]\naddress = "10.0.0.5"\n', """address is "host:port", not '10.0.0.5'"""),
        ('[providers.openai]\naddress = "http://10.0.0.5:80"\n', 'address is "host:port"'),
        ('[providers.openai]\naddress = "llm:99999"\n', 'address is "host:port"'),
        ('[providers.openai]\nhosts = "llm.internal"\n', "hosts is a list of texts, not 'llm.internal'"),
        ('[providers.openai]\nhosts = ["https://llm.internal"]\n', "hosts: 'https://llm.internal' is no such name"),
        ('[providers.openai]\ncredentials = "authorization"\n', "credentials is a list of texts"),
        ('[providers.openai]\ncredentials = ["Authorization:"]\n', "credentials: 'Authorization:' is no such name"),
        ('[providers.openai]\nvary = ["?v"]\n', "providers.openai: vary: '?v' is no such name"),
        ("[providers.openai]\nvary = [1]\n", "vary is a list of texts"),
        ('[providers.openai]\nname = "x"\n', "there is no setting name"),
        ("[providers.openai]\nroutes = 5\n", "providers.openai.routes is a table, not 5"),
        ("[providers.openai]\nroutes.chat = false\n", "providers.openai.routes.chat is a table, not False"),
        ("[providers]\nopenai = 5\n", "providers.openai is a table, not 5"),
        ("providers = 5\n", "providers is a table, not 5"),
        ("cache = 5\n", "cache is a table, not 5"),
        ("defaults = 5\n", "defaults is a table, not 5"),
        ("[defaults]\nroute = 5\n", "defaults.route is a table, not 5"),
        ('[providers.x]\nlike = ["openai"]\n', "like = ['openai']"),
        ("[cache]\njitter = 5\n", "cache: jitter is a number, at least 0 and at most 1, not 5"),
        ('[cache]\nimages_total_bytes = "64M"\n', "cache: images_total_bytes is a whole number"),
        ('[providers.openai.routes.chat]\nttl_hours = "1"\n', "providers.openai.routes.chat: ttl_hours is a number"),
        ("[providers.openai.routes.chat]\nttl_hours = 1e9\n", "ttl_hours is a number, at least 0 and at most 87600"),
        ("[providers.openai.routes.chat]\nwhen = 5\n", "providers.openai.routes.chat: when is a table, not 5"),
        ('[providers.openai.routes.chat]\nunless = "tools"\n', "unless is a list of texts, not 'tools'"),
        ('[providers.openai.routes.chat]\nunless_model = "*sonar*"\n', "unless_model is a list of texts"),
        ("[providers.openai.routes.chat]\npath = 5\n", "path is a text"),
        ('[providers.openai.routes.chat]\npath = "v1/chat"\n', 'path is a text that begins with "/" or "*"'),
        ("[providers.openai.routes.x]\nttl_hours = 1\n", "providers.openai.routes.x: path is missing"),
        ('[providers.openai.routes.chat]\nmethod = ""\n', "method is GET, POST or the like"),
        ("[providers.openai.routes.chat]\nvariants = 1e3\n", "variants is a whole number"),
        ("[providers.deepl.routes.translate]\nitems = 5\n", "providers.deepl.routes.translate.items is a table, not 5"),
        ('[providers.deepl.routes.translate]\nitems = { request = "a" }\n', "items: response is missing"),
        ("nonsense", "cannot read the policy"),
    ],
)
def test_a_mistake_is_named(tmp_path, text, words):
    with pytest.raises(PolicyError) as caught:
        laid_over(tmp_path, text)
    assert words in str(caught.value)


def test_a_missing_file_is_named():
    with pytest.raises(PolicyError, match="no-such"):
        load("/no-such/policy.toml")


def test_pictures_of_fals_are_gone_from_the_cache_before_they_are_gone_at_fal(policy):
    for name in ("fal", "fal_run", "fal_media"):
        for route in policy.providers[name].routes:
            if route.method == "POST" or route.answer == "image":
                assert route.ttl + route.grace < policies.FAL_KEEPS_SECONDS
