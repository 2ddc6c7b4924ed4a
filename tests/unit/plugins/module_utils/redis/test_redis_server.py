# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the connection does when the other side does not behave. Real servers are the integration test's."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import server as redis_server
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.server import Endpoint, Login, RedisError, Server


def test_a_server_that_never_answers_does_not_hold_the_play_up(monkeypatch):
    monkeypatch.setattr(redis_server, "_ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as stuck:
        port = stuck.getsockname()[1]
        start = time.monotonic()
        # redis-py with hiredis wraps it in an error of reading on Python 3.9, where a timeout is a socket.timeout.
        with pytest.raises(RedisError, match=rf"127\.0\.0\.1:{port} with no password: .*Timeout"):
            redis_server.connect([Endpoint(port=port)], [], 1)
    assert time.monotonic() - start < 10


def test_every_command_goes_out_from_the_server_s_own_network(monkeypatch):
    """A client that has lost its connection makes a new one: outside, the host's own Redis would get what is meant."""
    inside = []

    @contextlib.contextmanager
    def network_of(pid):
        inside.append(pid)
        yield
        inside.pop()

    class Client:
        def answer(self, *_words, **_options):
            assert inside == [4711]
            return []

        execute_command = execute = answer

        def info(self):
            self.answer()
            return {"redis_version": "7.0.15"}

        def pipeline(self, transaction):
            pipe = Client()
            pipe.execute_command = lambda *_words: pipe  # it only collects
            return pipe

    monkeypatch.setattr(redis_server, "network_of", network_of)
    server = Server(Client(), Endpoint(namespace_pid=4711), Login())
    server.refresh()
    server.run("SCAN", 0)
    server.run_all([("TYPE", "a")])
    server.config_set({"maxmemory": "1"})
    server.config_rewrite()
