# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import docker_engine
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import endpoint as redis_endpoint
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import place as redis_place
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import run as redis_run
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.endpoint import Surroundings


def inspected(cmd=("redis-server",), env=(), networks=("172.18.0.2",), mode="bot_default", ports=None, mounts=()):
    return {
        "Config": {"Cmd": list(cmd), "Entrypoint": ["docker-entrypoint.sh"], "Env": list(env)},
        "State": {"Pid": 4711},
        "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {
            "Networks": {str(i): {"IPAddress": a} for i, a in enumerate(networks)},
            "Ports": ports or {},
        },
        "Mounts": list(mounts),
    }


def places(data):
    return [str(one) for one in redis_endpoint.endpoints(data, redis_place.surroundings(data), {})]


def passwords(data, username=None):
    found = redis_endpoint.logins(data, redis_place.surroundings(data), username)
    return [(login.username, login.password, login.source) for login in found]


@pytest.mark.parametrize(
    "data, expected",
    [
        (inspected(), ["172.18.0.2:6379", "127.0.0.1:6379 inside the container"]),
        (inspected(ports={"6379/tcp": [{"HostIp": "0.0.0.0", "HostPort": "16379"}]}),
         ["172.18.0.2:6379", "127.0.0.1:16379", "127.0.0.1:6379 inside the container"]),
        (inspected(mode="host", networks=("",), cmd=("redis-server", "--port", "7000")), ["127.0.0.1:7000"]),
        (inspected(mode="none", networks=("",)), ["127.0.0.1:6379 inside the container"]),
        (inspected(cmd=("redis-server", "--port", "0", "--unixsocket", "/run/r.sock")),
         ["unix:/proc/4711/root/run/r.sock"]),
        (inspected(cmd=("redis-server", "--port", "0", "--tls-port", "6380")),
         ["172.18.0.2:6380", "127.0.0.1:6380 inside the container"]),
    ],
)  # fmt: skip
def test_where_to_connect(data, expected):
    assert places(data) == expected


NONE = (None, None, "no password")


@pytest.mark.parametrize(
    "data, expected",
    [
        (inspected(), [NONE]),
        (inspected(cmd=("redis-server", "--requirepass", "pw")), [(None, "pw", "the server's requirepass"), NONE]),
        (inspected(cmd=("sh", "-c", 'exec redis-server --requirepass "$REDIS_PASSWORD"'), env=("REDIS_PASSWORD=pw",)),
         [(None, "pw", "the server's requirepass"), (None, "$REDIS_PASSWORD", "the server's requirepass"),
          (None, "pw", "the environment's REDIS_PASSWORD"), NONE]),
        (inspected(cmd=("redis-server", "--requirepass", "p$w9")), [(None, "p$w9", "the server's requirepass"), NONE]),
        (inspected(cmd=("redis-server", "--requirepass", "a$$b")), [(None, "a$$b", "the server's requirepass"), NONE]),
        (inspected(cmd=("--user", "app", "on", ">x$y", "~*")), [("app", "x$y", "the ACL user app"), NONE]),
        (inspected(cmd=("--user", "app", "on", ">pw", "~*")), [("app", "pw", "the ACL user app"), NONE]),
        (inspected(env=("REDIS_PASSWORD=pw", "REDIS_USERNAME=app")),
         [("app", "pw", "the environment's REDIS_PASSWORD"), (None, "pw", "the environment's REDIS_PASSWORD"), NONE]),
        (inspected(env=("DATABASE_PASSWORD=no", "PATH=/bin")), [NONE]),
    ],
)  # fmt: skip
def test_how_to_log_in(data, expected):
    assert passwords(data) == expected


def test_a_dollar_in_a_file_is_a_letter():
    around = Surroundings(conf={"requirepass": [["pa$HOME"]]}, environment={"HOME": "/root"})
    assert around.last("requirepass") == ["pa$HOME"]
    assert [login.password for login in redis_endpoint.logins(inspected(), around)] == ["pa$HOME", None]


def test_a_secret_s_file_is_read_on_the_host(tmp_path):
    (tmp_path / "pw").write_text("from-file\n")
    mount = {"Type": "bind", "Source": str(tmp_path / "pw"), "Destination": "/run/secrets/redis_password"}
    data = inspected(env=("REDIS_PASSWORD_FILE=/run/secrets/redis_password",), mounts=(mount,))
    assert passwords(data)[0] == (None, "from-file", "the environment's REDIS_PASSWORD_FILE")
    assert (None, "from-file", "the secret redis_password") in passwords(data)


def test_no_password_in_any_representation():
    data = inspected(cmd=("redis-server", "--requirepass", "hush"))
    around = redis_place.surroundings(data)
    logins = redis_endpoint.logins(data, around)
    assert logins[0].password == "hush"
    assert "hush" not in repr(logins) + repr(around) + str(redis_endpoint.endpoints(data, around, {"x": "hush"}))


def test_a_password_is_kept_out_of_the_output_however_it_is_meant():
    """But not what would be left of it without a variable that nobody has set: a letter or two are no password."""
    cmd = ("redis-server", "--requirepass", "x$HUSH", "--masterauth", "p$nobody")
    around = redis_place.surroundings(inspected(cmd=cmd, env=("HUSH=hush",)))
    assert redis_place.Place("_redis", "r", [], [], around).secrets() == {"x$HUSH", "xhush", "p$nobody"}


def test_every_user_s_password_is_kept_out_of_the_output():
    """Also where another login was given: they stand on the line that changes."""
    flags = "--user app on >hush ~* --user ops on >hush2 ~* --masterauth hush3"
    around = redis_place.surroundings(inspected(cmd=("redis-server", *flags.split())))
    assert redis_place.Place("_redis", "r", [], [], around).secrets() == {"hush", "hush2", "hush3"}


@pytest.mark.parametrize(
    "path, expected",
    [
        ("/etc/redis/redis.conf", ("/srv/redis.conf", True)),
        ("/data/conf/redis.conf", ("/srv/data/conf/redis.conf", False)),
        ("/data/vol/redis.conf", ("/var/lib/docker/volumes/x/_data/redis.conf", False)),
        ("/data/tmp/redis.conf", None),
        ("/usr/redis.conf", None),
    ],
)
def test_the_file_behind_a_mount(path, expected):
    mounts = (
        {"Type": "bind", "Source": "/srv/redis.conf", "Destination": "/etc/redis/redis.conf"},
        {"Type": "bind", "Source": "/srv/data", "Destination": "/data"},
        {"Type": "volume", "Source": "/var/lib/docker/volumes/x/_data", "Destination": "/data/vol"},
        {"Type": "tmpfs", "Source": "", "Destination": "/data/tmp"},
    )
    assert redis_endpoint.mounted_from(inspected(mounts=mounts), path) == expected


def test_a_file_is_only_written_at_its_own_place(tmp_path):
    """A file in the container's own layer is reached through /proc/PID/root, which resolves to the host's own files."""
    (tmp_path / "redis.conf").write_text("")
    mount = {"Type": "volume", "Source": str(tmp_path), "Destination": "/data"}
    container = docker_engine.Container(inspected(mounts=(mount,)))
    place = redis_place.Place("_redis", "r", [], [], container=container)
    assert redis_place.conf_on_this_host(place, "/data/redis.conf", {}) == (str(tmp_path / "redis.conf"), False)
    for path in ("/data/other.conf", "/etc/passwd", None):
        assert redis_place.conf_on_this_host(place, path, {}) is None


@pytest.mark.parametrize(
    "word, expected",
    [("$A", "one"), ("${A}", "one"), ("${B:-two}", "two"), ("${A:-two}", "one"), ("$B", ""), ("x$A.y", "xone.y")],
)
def test_expand(word, expected):
    assert redis_endpoint.expand(word, {"A": "one"}) == expected


def test_renamed_config():
    assert Surroundings(conf={"rename-command": [["CONFIG", "hidden"]]}).config_command == "hidden"
    assert Surroundings(flags={"rename-command": [["FLUSHALL", ""]]}).config_command == "CONFIG"


@pytest.mark.parametrize(
    "text",
    [
        "requirepass hush\n",
        '--requirepass "hush"\n',
        '["--requirepass", "hush"]\n',
        "REDIS_PASSWORD: hush\n",
        "x hush\n",
    ],
)
def test_a_diff_shows_no_secret(text):
    assert "hush" not in redis_run.masked(text, {"hush"} if text.startswith("x") else set())


def test_a_diff_holds_only_what_changed():
    before, after = b"secret: a\nmaxmemory 1\nb\n", b"secret: a\nmaxmemory 2\nb\nsave 1\n"
    assert redis_run.changed_lines(before, after) == ("maxmemory 1\n", "maxmemory 2\nsave 1\n")
