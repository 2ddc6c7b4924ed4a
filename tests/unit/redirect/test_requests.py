# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The retries that an application has told an adapter of requests to make: by status, through the gateway too."""

from __future__ import annotations

from pathlib import Path

import pytest

ROLES = Path(__file__).parents[3] / "roles"
CALL = """
import requests
from urllib3.util.retry import Retry

session = requests.Session()
session.mount("https://", requests.adapters.HTTPAdapter(max_retries={retries}))
try:
    response = session.post(URL, {data})
    print(response.status_code, response.json()["from"], response.url == URL)
except requests.RequestException as error:
    print(type(error).__name__)
"""
FORCED = "Retry({}, status_forcelist=[502, 503], allowed_methods=None)"
FORGIVING = FORCED.replace("None)", "None, raise_on_status=False)")


@pytest.mark.parametrize(
    ("retries", "answer", "calls"),
    [
        (FORCED.format(5), "200 gateway True", 3),
        (FORCED.format(1), "RetryError", 2),
        (FORGIVING.format(1), "503 gateway True", 2),
        ("Retry(5, status_forcelist=[503])", "503 gateway True", 1),  # not for POST
        ("5", "503 gateway True", 1),
    ],
)
def test_statuses_are_repeated_as_often_as_the_application_wants(program, gateway, provider, retries, answer, calls):
    gateway.mode = "busy"
    said, _errors = program(CALL.format(retries=retries, data='data="a"'))
    assert said == f"{answer}\n"
    assert [seen.body for seen in gateway.seen] == [b"a"] * calls
    assert provider.seen == []


def test_a_body_that_is_read_once_is_sent_once(program, gateway, provider):
    gateway.mode = "busy"
    said, _errors = program(CALL.format(retries=FORCED.format(5), data='data=iter([b"a"])'))
    assert (said, len(gateway.seen)) == ("503 gateway True\n", 1)


def test_the_wait_that_the_answer_asks_for_is_kept(program, gateway, provider):
    gateway.mode, gateway.wait = "busy", "1"
    said, _errors = program(
        "import time; began = time.monotonic()"
        + CALL.format(retries=FORCED.format(5), data="")
        + "print(time.monotonic() - began >= 2)"
    )
    assert said.splitlines() == ["200 gateway True", "True"]


def test_a_wait_that_says_nothing_is_the_error_that_it_was(program, gateway, provider):
    gateway.mode, gateway.wait = "busy", "soon"
    said, _errors = program(CALL.format(retries=FORCED.format(5), data=""))
    assert said == "InvalidHeader\n"


@pytest.mark.parametrize("mode", ["unreachable", "nobody", "drop"])
def test_what_is_none_of_the_provider_s_is_not_repeated(program, gateway, provider, mode):
    gateway.mode = mode
    said, _errors = program(CALL.format(retries=FORCED.format(5), data=""))
    assert (said, len(gateway.seen)) == ("200 provider True\n", 1)


def test_a_call_without_a_timeout_has_that_of_stage_4(program, gateway, provider):
    """Both shims as python_site starts them: the redirected call waits no longer than the feature `http` allows."""
    gateway.mode = "slow"
    files = [ROLES / role / "files" for role in ("python_site", "stage3_caching", "stage4_code")]
    said, _errors = program(
        CALL.format(retries="0", data=""),
        HEADROOM_RUNTIME="http:read=0.3",
        PYTHONPATH=":".join(map(str, [*files, Path(__file__).parent])),
    )
    assert (said, len(gateway.seen), provider.seen) == ("ReadTimeout\n", 1, [])
