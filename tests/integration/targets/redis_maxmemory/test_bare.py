# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers outside of containers, of every version, reached in every way."""

from __future__ import annotations

import re
import subprocess
import time

import pytest
import redis
from conftest import bytes_of, cycle, parameters, servers

CONF = """# keep this comment
port {port}
dir {folder}
  maxmemory   1gb
save ""
# the end, without a line break"""


def test_the_installed_and_two_more_versions_are_here():
    assert "redis-7.0.15" in servers()
    assert len(servers()) >= 3


def test_each_version_with_a_configuration_file(each_server, bare, run):
    name, binary = each_server
    server = bare(binary, conf=CONF)
    params = {
        "port": server.port,
        "maxmemory": "96mb",
        "policy": "allkeys-lfu",
        "settings": [
            {"name": "lazyfree-lazy-eviction", "value": True},
            {"name": "save", "value": "900 1 300 10"},
            {"name": "repl-backlog-size", "value": "2mb"},
            {"name": "client-output-buffer-limit", "value": "pubsub 16mb 4mb 60"},
        ],
    }
    expected = {
        "maxmemory": str(96 * 1024**2),
        "maxmemory-policy": "allkeys-lfu",
        "save": "900 1 300 10",
        "repl-backlog-size": str(2 * 1024**2),
    }
    first = cycle(run, params, server.client, expected, [server.conf], server.restart)
    assert first["persisted_via"] == "rewrite"
    product, version = name.split("-")
    assert first["server"]["name"] == f"{product.capitalize()} {version}"


def test_each_version_without_a_configuration_file(each_server, bare, run):
    server = bare(each_server[1], "--maxmemory", "1gb")
    params = {"port": server.port, "maxmemory": "64mb", "policy": "noeviction", "undo_key": "mine"}
    first = cycle(run, params, server.client, {"maxmemory": str(64 * 1024**2)})
    assert first["persisted_via"] == "none"
    assert "until this Redis is started again" in str(first["warnings"])


def test_each_version_sets_all_or_nothing(each_server, bare, run):
    server = bare(each_server[1], "--maxmemory", "1gb")
    before = parameters(server.client())
    result = run(
        {"port": server.port, "maxmemory": "64mb", "settings": [{"name": "appendfsync", "value": "sometimes"}]}
    )
    assert result["failed"] and "appendfsync" in result["msg"]
    assert parameters(server.client()) == before


def test_values_are_compared_by_what_they_mean(bare, run):
    server = bare(None, "--maxmemory", "2147483648", "--save", "60 1")
    same = {"port": server.port, "maxmemory": "2gb", "settings": [{"name": "save", "value": "60  1"}]}
    assert run(same)["changed"] is False
    other = run({"port": server.port, "maxmemory": "2000m"}, check=True)
    assert other["after"]["maxmemory"] == "2000000000"


def test_unknown_parameter(bare, run):
    server = bare()
    result = run({"port": server.port, "settings": [{"name": "maxmemroy", "value": "1"}]})
    assert result["failed"] and "does not know the parameter maxmemroy" in result["msg"]


def test_unix_socket(bare, run, tmp_path):
    path = str(tmp_path / "redis.sock")
    server = bare(None, "--unixsocket", path)
    cycle(run, {"unix_socket": path, "maxmemory": "50mb"}, server.client, {"maxmemory": str(50 * 1024**2)})


def test_password(bare, run):
    server = bare(None, "--requirepass", "s3cret-one", password="s3cret-one")
    params = {"port": server.port, "maxmemory": "50mb"}
    wrong = run({**params, "password": "not-it"})
    assert wrong["failed"] and "with the given password" in wrong["msg"]
    assert run(params)["failed"]
    cycle(run, {**params, "password": "s3cret-one"}, server.client, {"maxmemory": str(50 * 1024**2)})
    assert not [text for text in run.outputs if "s3cret-one" in text or "not-it" in text]


def test_tls(bare, run, tmp_path):
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    words = f"req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {key} -out {certificate} -subj /CN=127.0.0.1"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", *words.split(), *names], check=True, capture_output=True)
    conf = (
        f"port 0\ntls-port {{port}}\ntls-cert-file {certificate}\ntls-key-file {key}\ntls-ca-cert-file {certificate}\n"
    )
    server = bare(None, conf=conf + "tls-auth-clients no\ndir {folder}\n", ssl=True, ssl_ca_certs=certificate)
    params = {"port": server.port, "tls": True, "maxmemory": "50mb"}
    assert run(params)["failed"], "a certificate of nobody known was taken"
    good = {**params, "ca_certs": certificate}
    cycle(run, good, server.client, {"maxmemory": str(50 * 1024**2)}, [server.conf], server.restart)
    assert run({**params, "validate_certs": False})["changed"]


def test_user_without_config_permission(bare, run):
    server = bare(None, conf=CONF)
    server.client().execute_command("ACL", "SETUSER", "app", "on", ">app-pw", "~*", "+@all", "-config")
    params = {"port": server.port, "username": "app", "password": "app-pw"}
    assert run({**params, "maxmemory": "1gb"})["changed"] is False, "INFO tells that nothing has to be done"
    text = server.conf.read_bytes()
    written = run({**params, "maxmemory": "96mb", "policy": "noeviction"})
    assert written["changed"] and written["recreate_pending"], written
    assert server.client().config_get("maxmemory")["maxmemory"] == str(1024**3)
    assert run({**params, "maxmemory": "96mb", "policy": "noeviction"})["changed"] is False
    assert run({**params, "state": "absent"})["changed"]
    assert server.conf.read_bytes() == text
    refused = run({**params, "maxmemory": "96mb", "persist": "none"})
    assert refused["failed"] and "no file to write" in refused["msg"]


def test_renamed_config(bare, run):
    server = bare(None, conf=CONF.replace("save", "rename-command CONFIG hidden-config\nsave"))
    text = server.conf.read_bytes()
    first = run({"port": server.port, "maxmemory": "96mb"})
    assert first["changed"] and not first["recreate_pending"], first
    bound = server.client().execute_command("hidden-config", "GET", "maxmemory")  # a list or, with RESP3, a dictionary
    assert str(96 * 1024**2) in (bound.values() if isinstance(bound, dict) else bound)
    assert run({"port": server.port, "maxmemory": "96mb"})["changed"] is False
    assert run({"port": server.port, "state": "absent"})["changed"]
    assert server.conf.read_bytes() == text


def test_disabled_config(bare, run):
    """Only a restart brings the values then; they are in the file."""
    server = bare(None, conf=CONF.replace("save", 'rename-command CONFIG ""\nsave'))
    text = server.conf.read_bytes()
    params = {"port": server.port, "maxmemory": "96mb", "policy": "noeviction"}
    first = run(params)
    assert first.get("changed") and first["recreate_pending"], first
    assert server.client().info()["maxmemory"] == 1024**3
    assert run(params)["changed"] is False
    server.restart()
    assert server.client().info()["maxmemory"] == 96 * 1024**2
    assert run(params)["recreate_pending"] == []
    assert run({**params, "state": "absent"})["changed"]
    assert server.conf.read_bytes() == text


def test_replica(bare, run):
    master = bare(name="master")
    replica = bare(None, "--replicaof", "127.0.0.1", str(master.port), name="replica")
    first = cycle(run, {"port": replica.port, "maxmemory": "50mb"}, replica.client, {"maxmemory": str(50 * 1024**2)})
    assert f"this is a replica of 127.0.0.1:{master.port}" in str(first["warnings"])


def test_server_that_is_loading(bare, run):
    server = bare(None, "--save", "")
    with server.client() as client:
        pipe = client.pipeline(transaction=False)
        for number in range(4000):
            pipe.set(f"cache:{number}", "x" * 100)
        pipe.execute()
        client.save()
    server.stop()
    # Each key takes a while to load, and the server answers in between.
    server.flags += ["--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024"]
    argv = [server.binary, "--port", str(server.port), "--dir", str(server.folder), *server.flags]
    with open(server.folder / "log", "ab") as log:
        server.process = subprocess.Popen(argv, stdout=log, stderr=log)
    while True:
        try:
            if server.client().info()["loading"]:
                break
        except redis.ConnectionError:
            continue
    params = {"port": server.port, "maxmemory": "50mb", "policy": "allkeys-lru"}
    impatient = run(params, timeout=0)
    assert impatient["failed"] and "still loading" in impatient["msg"]
    patient = run(params, timeout=60)
    assert patient["changed"] and patient["purpose_found"]["keys"] == 4000
    assert patient["purpose_found"]["purpose"] == "cache"


def test_full_server(bare, run):
    server = bare(None, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction", "--save", "")
    client = server.client()
    with pytest.raises(redis.ResponseError, match=r"OOM|maxmemory"):
        for number in range(10000):
            client.set(f"cache:{number}", "x" * 1000)
    used = client.info()["used_memory"]
    lower = run({"port": server.port, "maxmemory": "2mb"})
    assert lower["failed"] and "every write would fail at once" in lower["msg"]
    evicting = run({"port": server.port, "maxmemory": "2mb", "policy": "allkeys-lru"}, check=True)
    assert "of keys will be evicted" in str(evicting["warnings"])
    assert client.info()["used_memory"] >= used - 100_000, "a check evicted something"
    forced = run({"port": server.port, "maxmemory": "2mb", "force": True})
    assert forced["changed"] and "force: maxmemory 2.0 MB is below" in str(forced["warnings"])
    cycle(run, {"port": server.port, "maxmemory": "50mb", "undo_key": "b"}, server.client, {"maxmemory": "52428800"})
    assert run({"port": server.port, "maxmemory": "50mb"})["changed"]
    client.set("one more", "fits")


def test_maxmemory_leaves_room(bare, run):
    server = bare(None, "--appendonly", "yes")
    params = {"port": server.port, "memory_limit": "128M"}
    before = parameters(server.client())
    refused = run({**params, "maxmemory": "256mb"})
    for words in ("256.0 MB leaves too little of the 128.0 MB", "at most 96.0 MB", "raise the limit to 341.3 MB"):
        assert words in refused["msg"]
    assert run({**params, "maxmemory": "97mb"})["failed"]
    assert run({**params, "maxmemory": "0"})["failed"], "no bound at all"
    assert parameters(server.client()) == before
    fits = run({**params, "maxmemory": "75%"})
    assert (fits["after"]["maxmemory"], fits["room"]["fits"]) == (str(96 * 1024**2), True)
    assert fits["room"]["maxmemory"] + fits["room"]["reserve"] <= 128 * 1024**2
    assert run({**params, "maxmemory": "256mb", "force": True})["changed"]


def test_without_saving_more_of_the_limit_may_be_used(bare, run):
    server = bare(None, "--save", "")
    assert run({"port": server.port, "memory_limit": "128M", "maxmemory": "115mb"})["changed"]
    assert run({"port": server.port, "memory_limit": "128M", "maxmemory": "116mb"})["failed"]


def test_somebody_else_changed_the_file_meanwhile(bare, run):
    server = bare(None, conf=CONF)
    params = {"port": server.port, "maxmemory": "96mb", "settings": [{"name": "timeout", "value": "300"}]}
    assert run(params)["changed"]
    server.conf.write_text(server.conf.read_text() + "tcp-keepalive 100\n")
    undone = run({**params, "state": "absent"})
    assert undone["undone"] == [{"path": str(server.conf), "outcome": "values"}]
    text = server.conf.read_text()
    assert re.search(r"maxmemory +1gb", text) and "timeout" not in text and "tcp-keepalive 100" in text


def test_two_owners_do_not_undo_each_other(bare, run):
    server = bare(None, conf=CONF)
    texts = bytes_of(server.conf)
    one = {"port": server.port, "maxmemory": "96mb", "policy": "noeviction", "undo_key": "one"}
    two = {"port": server.port, "settings": [{"name": "timeout", "value": "300"}], "undo_key": "two"}
    run(one)
    run(two)
    run({**one, "state": "absent"})
    now = server.client().config_get("*")
    assert (now["maxmemory"], now["timeout"]) == (str(1024**3), "300")
    run({**two, "state": "absent"})
    assert bytes_of(server.conf) == texts


def test_nothing_listens(run, tmp_path):
    result = run({"port": 1, "maxmemory": "96mb"})
    assert result["failed"] and "127.0.0.1:1" in result["msg"]


def test_a_file_that_only_the_server_sees_is_rewritten_by_the_server(bare, run, tmp_path):
    """Behind a published port the path means another file. Here the server lives in a mount namespace of its own."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    server = bare(None, conf=CONF)
    (hidden / "redis.conf").write_text(server.conf.read_text())
    decoy = server.conf.read_bytes()
    server.stop()
    script = f"mount --bind {hidden} {server.folder} && exec {server.binary} {server.conf}"
    with open(tmp_path / "log", "wb") as log:
        server.process = subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=log, stderr=log)
    deadline = time.monotonic() + 15
    while not (server.process.poll() is None and time.monotonic() > deadline):
        try:
            server.client().ping()
            break
        except redis.ConnectionError:
            assert server.process.poll() is None, (tmp_path / "log").read_text()
    planned = run({"port": server.port, "maxmemory": "96mb"}, check=True)
    result = run({"port": server.port, "maxmemory": "96mb"})
    assert (result.get("changed"), result["persisted_via"]) == (True, "rewrite"), result
    assert planned["files_changed"] == result["files_changed"] == [str(server.conf)]
    assert "maxmemory 96mb" in (hidden / "redis.conf").read_text().lower()
    assert run({"port": server.port, "maxmemory": "96mb"})["changed"] is False
    assert run({"port": server.port, "state": "absent"})["changed"]
    assert "maxmemory 1gb" in (hidden / "redis.conf").read_text().lower()
    assert server.conf.read_bytes() == decoy
