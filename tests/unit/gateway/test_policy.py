# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from headroom_gateway import policy as policies
from headroom_gateway.policy import PolicyError, load


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
