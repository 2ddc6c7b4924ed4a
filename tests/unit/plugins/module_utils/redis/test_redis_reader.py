# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reader on a socket that says what real servers said. Against real servers it is tested with the audit."""

from __future__ import annotations

import socket
import threading

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import reader as redis_reader
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.server import Endpoint, Login, RedisError

# Recorded from Redis 7.0.15, shortened.
INFO_TEXT = "# Server\r\nredis_version:7.0.15\r\nloading:0\r\n\r\n# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=0\r\n"
INFO = b"$%d\r\n%s\r\n" % (len(INFO_TEXT), INFO_TEXT.encode())


class Said:
    """A server that answers each command with the next of `answers`, and keeps what it was sent."""

    def __init__(self, path, answers):
        self.heard = b""
        self._answers = list(answers)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self.endpoint = Endpoint(unix_socket=path)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            connection, _address = self._listener.accept()
            with connection:
                while True:
                    data = connection.recv(65536)
                    if not data:
                        break
                    self.heard += data
                    # A command is an array; one that was sent in the same packet is answered with the next.
                    for _command in range(data.count(b"\r\n*") + 1):
                        if not self._answers:
                            return
                        connection.sendall(self._answers.pop(0))


@pytest.fixture
def said(tmp_path):
    return lambda *answers: Said(str(tmp_path / "r.sock"), answers)


def test_every_kind_of_answer_is_read(said):
    server = said(INFO, b"*3\r\n$1\r\n\xff\r\n:7\r\n*1\r\n$-1\r\n", b"+OK\r\n", b"-NOPERM no\r\n", b"*-1\r\n")
    reader = redis_reader.connect([server.endpoint], [], 1)
    assert reader.run("LRANGE", "k", 0, -1) == ["\udcff", 7, [None]]
    assert reader.run("SELECT", 1) == "OK"
    with pytest.raises(RedisError, match="NOPERM no"):
        reader.run("KEYS", "*")
    assert reader.run("BLPOP", "k", 1) is None
    assert server.heard.startswith(b"*1\r\n$4\r\nINFO\r\n*4\r\n$6\r\nLRANGE\r\n")
    assert reader.keyspace() == {0: 3}


def test_a_refused_command_among_several_is_an_answer(said):
    reader = redis_reader.connect([said(INFO, b":1\r\n", b"-ERR no\r\n", b":2\r\n").endpoint], [], 1)
    first, second, third = reader.run_all([("EXISTS", "a"), ("NOSUCH",), ("EXISTS", "b")])
    assert (first, third) == (1, 2)
    assert isinstance(second, RedisError)


def test_the_next_login_is_tried_and_no_password_is_told(said):
    server = said(b"-WRONGPASS invalid username-password pair\r\n", b"+OK\r\n", INFO)
    logins = [
        Login("wrong-secret", None, "the environment's REDIS_PASSWORD"),
        Login("right", "app", "the ACL user app"),
    ]
    redis_reader.connect([server.endpoint], logins, 1).close()
    assert b"$4\r\nAUTH\r\n$3\r\napp\r\n$5\r\nright\r\n" in server.heard


def test_why_no_server_could_be_reached(said, tmp_path):
    server = said(b"-WRONGPASS invalid username-password pair\r\n")
    gone = Endpoint(unix_socket=str(tmp_path / "gone.sock"))
    with pytest.raises(RedisError) as caught:
        redis_reader.connect([gone, server.endpoint], [Login("wrong-secret", None, "the server's requirepass")], 1)
    message = str(caught.value)
    assert "gone.sock" in message and "the server's requirepass" in message and "WRONGPASS" in message
    assert "wrong-secret" not in message


def test_a_server_that_loads_its_data_is_waited_for(said):
    loading = INFO.replace(b"loading:0", b"loading:1")
    reader = redis_reader.connect([said(loading, loading, INFO).endpoint], [], 5)
    assert reader.info["loading"] == "0"


def test_a_server_that_does_not_finish_loading_is_named(said):
    with pytest.raises(RedisError, match="still loading"):
        redis_reader.connect([said(*[INFO.replace(b"loading:0", b"loading:1")] * 9).endpoint], [], 0)


def test_a_connection_that_ends_is_an_error(said):
    reader = redis_reader.connect([said(INFO).endpoint], [], 1)
    with pytest.raises(RedisError, match="went away"):
        reader.run("PING")


def test_a_parameter_that_is_not_told_is_not_known(said):
    reader = redis_reader.connect(
        [said(INFO, b"*2\r\n$4\r\nsave\r\n$4\r\n60 1\r\n", b"-NOPERM\r\n", b"*0\r\n").endpoint], [], 1
    )
    assert [reader.config_get("save") for _time in range(3)] == ["60 1", None, None]
