# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""headroom_redirect in real client libraries, against a real gateway's and a real provider's sockets."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from headroom_redirect.route import Route

PACKAGES = Path(__file__).parents[3] / "roles" / "stage3_caching" / "files"
CLIENTS = ("httpx", "httpx async", "httpx2", "httpx2 async", "requests", "aiohttp")
URL = "https://provider.test/v1/chat%2Fcompletions?b=2&a=%C3%A4"
PATH = "/v1/chat%2Fcompletions?b=2&a=%C3%A4"

each_client = pytest.mark.parametrize("client", CLIENTS)


def sender(answer):
    return json.loads(answer[1])["from"]


@each_client
def test_call_goes_to_the_gateway_as_it_is(application, gateway, provider, client):
    result = application(client, method="POST", body='{"a": 1}', times=2)
    assert [sender(answer) for answer in result["answers"]] == ["gateway", "gateway"]
    assert [seen.path for seen in gateway.seen] == ["/provider.test" + PATH] * 2
    assert {seen.body for seen in gateway.seen} == {b'{"a": 1}'}
    assert {seen.headers["authorization"] for seen in gateway.seen} == {"Bearer sk-test"}
    assert provider.seen == []


@each_client
def test_application_sees_the_providers_url(application, provider, client):
    (answer,) = application(client)["answers"]
    assert answer[2:] == [URL, URL]


@each_client
def test_library_is_not_imported_before_the_application_does(application, provider, client):
    assert application(client)["loaded_by_shim"] == []


@each_client
def test_other_hosts_go_where_they_did(application, gateway, provider, client):
    (answer,) = application(client, url="https://other.test/v1")["answers"]
    assert sender(answer) == "provider"
    assert gateway.seen == []


@each_client
@pytest.mark.parametrize("generated", [False, True])
def test_gateway_away_means_the_provider(application, gateway, provider, client, generated):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    redirect = f"http://127.0.0.1:{port}=provider.test"
    result = application(client, redirect, method="POST", body='{"a": 1}', times=2, generated=generated)
    assert [sender(answer) for answer in result["answers"]] == ["provider", "provider"]
    assert {seen.body for seen in provider.seen} == {b'{"a": 1}'}
    assert {seen.path for seen in provider.seen} == {PATH}
    assert result["stderr"].count("no answer from") == 1


@each_client
def test_gateway_without_an_address_means_the_provider(application, provider, client):
    (answer,) = application(client, "http://gateway-that-is-gone.invalid:8080=provider.test")["answers"]
    assert sender(answer) == "provider"


@each_client
@pytest.mark.parametrize("mode", ["drop", "nobody", "unreachable", "unknown"])
def test_gateway_that_breaks_means_the_provider(application, gateway, provider, client, mode):
    gateway.mode = mode
    (answer,) = application(client, method="POST", body='{"a": 1}')["answers"]
    assert (answer[0], sender(answer), answer[2]) == (200, "provider", URL)
    assert provider.seen[0].body == b'{"a": 1}'


@each_client
@pytest.mark.parametrize(("mode", "status"), [("decision", 429), ("failure", 502)])
def test_limit_of_the_gateway_and_failure_of_the_provider_stand(application, gateway, provider, client, mode, status):
    gateway.mode = mode
    (answer,) = application(client)["answers"]
    assert (answer[0], sender(answer)) == (status, "gateway")
    assert provider.seen == []


@each_client
def test_redirect_is_relative_to_the_provider(application, gateway, provider, client):
    gateway.mode = "move"
    (answer,) = application(client, follow=True)["answers"]
    assert answer[2] == "https://provider.test/v1/moved"
    assert [seen.path for seen in gateway.seen] == ["/provider.test" + PATH, "/provider.test/v1/moved"]


@pytest.mark.parametrize("client", [name for name in CLIENTS if name != "aiohttp"])
def test_proxy_of_the_application_is_kept(application, gateway, provider, client):
    """The stand-in gateway plays a proxy that refuses CONNECT: the call must have gone there as to a proxy."""
    proxy = f"http://127.0.0.1:{gateway.server_address[1]}"
    result = application(client, "http://127.0.0.1:9=provider.test", environment={"HTTPS_PROXY": proxy})
    assert result["error"] is not None
    assert provider.seen == []


@pytest.mark.parametrize(
    "setting",
    ["http://gateway:8080=api.openai.com,api.telegram.org", "https://gateway=a.test", "a.test", "http://=a.test"],
)
def test_wrong_setting_is_refused(setting):
    done = subprocess.run(
        [sys.executable, "-c", "import headroom_redirect"],
        env={**os.environ, "PYTHONPATH": str(PACKAGES), "HEADROOM_REDIRECT": setting},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "ValueError" in done.stderr
    assert ("org" in setting) == ("is never sent through the gateway" in done.stderr)


@pytest.mark.parametrize(
    ("url", "at_gateway"),
    [
        ("https://api.test/v1", "/api.test/v1"),
        ("https://API.test:443", "/api.test/"),
        ("https://api.test?a=1#top", "/api.test/?a=1"),
        ("https://v3.media.test/a%2Fb", "/v3.media.test/a%2Fb"),
        ("https://media.test/", None),
        ("https://evilmedia.test/", None),
        ("https://api.test:8443/", None),
        ("http://api.test/", None),
        ("https://user:secret@api.test/", None),
        ("https://api.test.evil.test/", None),
        ("https://other.test/?x=https://api.test/", None),
    ],
)
def test_urls(url, at_gateway):
    found = Route.parse("http://gateway:8080=api.test,*.media.test").url(url)
    assert found == (at_gateway and "http://gateway:8080" + at_gateway)


def test_nothing_happens_without_the_variable():
    program = "import sys; before = list(sys.meta_path); import headroom_redirect; assert sys.meta_path == before"
    environment = {name: value for name, value in os.environ.items() if name != "HEADROOM_REDIRECT"}
    subprocess.run([sys.executable, "-c", program], env={**environment, "PYTHONPATH": str(PACKAGES)}, check=True)


def test_other_finders_of_its_kind_are_borne(tmp_path):
    """Two finders that each ask all others for the same module must neither go round for ever nor act twice."""
    (tmp_path / "httpx.py").write_text("")
    program = """
from headroom_redirect.imports import when_imported
calls = []
when_imported({"httpx": lambda module: calls.append("first")})
when_imported({"httpx": lambda module: calls.append("second")})
import httpx
print(*sorted(calls))
"""
    environment = {**os.environ, "PYTHONPATH": f"{PACKAGES}:{tmp_path}"}
    environment.pop("HEADROOM_REDIRECT", None)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["first", "second"], done.stderr[-500:]


def test_shim_loads_nothing_heavy():
    """Every Python process of the application pays for it, health checks too."""
    program = (
        "import sys; before = set(sys.modules); import headroom_redirect; "
        "print(*sorted(name for name in set(sys.modules) - before if not name.startswith('headroom_redirect')))"
    )
    environment = {**os.environ, "PYTHONPATH": str(PACKAGES), "HEADROOM_REDIRECT": "http://gateway:80=a.test"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["__future__"]


@pytest.mark.parametrize("module", sorted(file.stem for file in (PACKAGES / "headroom_redirect").glob("*.py")))
def test_every_module_can_do_without_what_came_after_python_3_8(module):
    name = f"headroom_redirect.{module}".replace(".__init__", "")
    program = f"import functools; vars(functools).pop('cache', 0); import {name}"
    environment = {name: value for name, value in os.environ.items() if name != "HEADROOM_REDIRECT"}
    subprocess.run([sys.executable, "-c", program], env={**environment, "PYTHONPATH": str(PACKAGES)}, check=True)
