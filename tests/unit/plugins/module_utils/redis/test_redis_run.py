# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run's order of steps, on a client that answers as a server does. Real servers are the integration test's."""

from __future__ import annotations

import errno

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import docker_engine
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import change as compose_change
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import edit
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.project import Project, ProjectError
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import persist as redis_persist
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import place as redis_place
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import run as redis_run
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.server import (
    Endpoint,
    Login,
    RedisError,
    Server,
    Stopped,
    redis,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.tasks import redis_maxmemory
from ansible_collections.smallhost.headroom.plugins.module_utils.tasks.redis_maxmemory import ARGUMENT_SPEC

MB = 1024**2
OWNER = "redis_maxmemory"


class Client:
    """In place of redis.Redis: an empty server with a few parameters. `refused`: parameters that it does not set."""

    def __init__(self, version="7.0.15", refused=(), **parameters):
        self.version, self.refused = version, refused
        self.parameters = {
            "maxmemory": str(512 * MB),
            "maxmemory-policy": "allkeys-lru",
            "save": "",
            "timeout": "0",
            "requirepass": "",
        }
        self.parameters.update({name.replace("_", "-"): value for name, value in parameters.items()})
        self.sets = []
        self.rewritten = None  # the parameters in its file; None while it cannot write that

    def info(self):
        return {"redis_version": self.version, "maxmemory_policy": self.parameters["maxmemory-policy"]}

    def execute_command(self, command, what, *words):
        assert command == "CONFIG"
        if what == "GET":
            assert len(words) == 1 or self.version >= "7", "one name in one call"
            return [word for name in words for word in (name, self.parameters[name]) if name in self.parameters]
        if what == "REWRITE" and self.rewritten is not None:
            self.rewritten = dict(self.parameters)
            return "OK"
        if what == "REWRITE":
            raise redis.ResponseError("Rewriting config file: Device or resource busy")
        assert what == "SET"
        assert len(words) == 2 or self.version >= "7", "one parameter in one call"
        values = dict(zip(words[::2], words[1::2]))
        self.sets.append(list(values))
        if any(name in self.refused for name in values):
            raise redis.ResponseError("CONFIG SET failed")
        self.parameters.update(values)
        return "OK"


@pytest.fixture
def task(tmp_path):
    """A run on a client: task(client, **params). `key` is the server's own in the journal."""

    def make(client, check_mode=False, key="127.0.0.1:6379", **params):
        given = {name: spec.get("default") for name, spec in ARGUMENT_SPEC.items()}
        given.update(memory_limit="1G", **params)
        place = redis_place.Place("_redis", key, [Endpoint()], [Login()])
        journal = Journal("_redis", str(tmp_path)).read_only()
        (tmp_path / "_redis").mkdir(exist_ok=True)
        return redis_run.Task(given, check_mode, OWNER, place, Server(client, Endpoint(), Login()), journal)

    return make


BOUND = {"maxmemory": "96mb", "policy": "noeviction"}


def test_all_in_one_call_where_the_server_can(task):
    client = Client()
    redis_run.present(task(client, **BOUND))
    assert client.sets == [["maxmemory-policy", "maxmemory"]]
    redis_run.absent(task(client))
    assert client.sets[1:] == [["maxmemory", "maxmemory-policy"]]


def test_one_by_one_before_redis_7_and_all_back_where_one_is_refused(task):
    client = Client("6.2.14", refused=["timeout"])
    before = dict(client.parameters)
    one = task(client, **BOUND, settings=[{"name": "timeout", "value": 300}])
    with pytest.raises(RedisError, match="refused CONFIG SET"):
        redis_run.present(one)
    assert client.sets == [["maxmemory-policy"], ["maxmemory"], ["timeout"], ["maxmemory"], ["maxmemory-policy"]]
    assert client.parameters == before
    assert one.journal.owned(OWNER) == {}


FULL = OSError(errno.ENOSPC, "No space left on device", "/etc/redis.conf")


@pytest.mark.parametrize("version", ["6.2.14", "7.0.15"])
@pytest.mark.parametrize("error", [FULL, ProjectError("could not be written"), RedisError("refused")])
def test_what_cannot_be_made_to_last_is_not_left_live(task, monkeypatch, error, version):
    """The evicting policy comes back last: with it and the new bound at once, keys would go."""

    def fail(*_words):
        raise error

    monkeypatch.setattr(redis_persist, "write", fail)
    client = Client(version)
    before = dict(client.parameters)
    one = task(client, **BOUND)
    with pytest.raises(type(error)):
        redis_run.present(one)
    assert client.parameters == before
    assert [name for names in client.sets for name in names][2:] == ["maxmemory", "maxmemory-policy"]
    assert one.journal.owned(OWNER) == {}


def test_a_failed_run_does_not_decide_what_the_next_one_puts_back(task, monkeypatch):
    client = Client(refused=["maxmemory"])
    with pytest.raises(RedisError):
        redis_run.present(task(client, maxmemory="96mb"))
    client.refused, client.parameters["maxmemory"] = (), str(256 * MB)
    redis_run.present(task(client, maxmemory="96mb"))
    redis_run.absent(task(client))
    assert client.parameters["maxmemory"] == str(256 * MB)


def test_values_that_cannot_be_put_back_are_said_and_remembered(task, monkeypatch):
    client = Client()

    def fail(*_words):
        client.refused = ["maxmemory"]
        raise FULL

    monkeypatch.setattr(redis_persist, "write", fail)
    one = task(client, **BOUND)
    with pytest.raises(RedisError, match=r"No space left.* previous values could not be put back"):
        redis_run.present(one)
    assert len(one.journal.owned(OWNER)) == 2


@pytest.fixture
def out_of_reach(monkeypatch):
    """The server has a file, and it is not on this host."""
    monkeypatch.setattr(Server, "config_file", "/etc/redis/redis.conf")
    monkeypatch.setattr(redis_place, "conf_on_this_host", lambda *_words: None)


def test_check_mode_names_the_file_that_the_server_will_rewrite(task, out_of_reach):
    assert redis_run.present(task(Client(), check_mode=True, **BOUND))["files_changed"] == ["/etc/redis/redis.conf"]
    same = Client(maxmemory=str(96 * MB), maxmemory_policy="noeviction")
    assert redis_run.present(task(same, check_mode=True, **BOUND))["files_changed"] == []


def test_values_that_do_not_last_are_said_at_each_run_until_they_do(task, out_of_reach):
    client, before = Client(), dict(Client().parameters)
    for changed in (True, False):
        one = task(client, **BOUND)
        result = redis_run.present(one)
        assert (result["changed"], result["persisted_via"]) == (changed, "none")
        assert [word for word in one.warnings if "hold until this Redis is started again" in word]
    client.rewritten = {}
    one = task(client, **BOUND)
    result = redis_run.present(one)
    assert (result["changed"], result["persisted_via"], one.warnings) == (False, "rewrite", [])
    assert client.rewritten == client.parameters
    redis_run.absent(task(client))
    assert client.rewritten == before


@pytest.mark.parametrize("persist", ["auto", "rewrite"])
def test_values_that_somebody_has_set_by_hand_are_made_to_last(task, out_of_reach, persist):
    client = Client(maxmemory=str(96 * MB), maxmemory_policy="noeviction")
    redis_run.present(task(client, check_mode=True, persist=persist, **BOUND))
    if persist == "rewrite":
        with pytest.raises(RedisError, match="Device or resource busy"):
            redis_run.present(task(client, persist=persist, **BOUND))
    client.rewritten = {}
    result = redis_run.present(task(client, persist=persist, **BOUND))
    assert (result["changed"], result["files_changed"], result["persisted_via"]) == (False, [], "rewrite")
    assert client.rewritten == client.parameters


def test_the_undo_of_one_server_leaves_the_file_of_another(task, tmp_path, monkeypatch):
    """Both are filed under one owner in one journal: servers outside of projects, and those of one project."""
    monkeypatch.setattr(Server, "config_file", "/etc/redis.conf")
    monkeypatch.setattr(redis_place, "conf_on_this_host", lambda place, *_words: (str(tmp_path / place.key), False))
    clients = {name: Client() for name in ("one.conf", "two.conf")}
    for name, client in clients.items():
        (tmp_path / name).write_text("maxmemory 512mb\nmaxmemory-policy allkeys-lru\n")
        redis_run.present(task(client, key=name, **BOUND))
    result = redis_run.absent(task(clients["one.conf"], key="one.conf"))
    assert result["files_changed"] == [str(tmp_path / "one.conf")]
    assert (tmp_path / "one.conf").read_text() == "maxmemory 512mb\nmaxmemory-policy allkeys-lru\n"
    assert (tmp_path / "two.conf").read_text() == "maxmemory 96mb\nmaxmemory-policy noeviction\n"
    last = task(clients["two.conf"], key="two.conf")
    assert redis_run.absent(last)["files_changed"] == [str(tmp_path / "two.conf")]
    assert last.journal.owned(OWNER) == {} and last.journal.files(OWNER) == []


def test_a_password_among_the_settings_is_in_no_output(task):
    client = Client(requirepass="hush-old")
    settings = [{"name": "requirepass", "value": "hush-new"}, {"name": "timeout", "value": 300}]
    result = redis_run.present(task(client, settings=settings))
    assert client.parameters["requirepass"] == "hush-new"
    assert result["changed"] and "hush" not in str(result)
    undone = redis_run.absent(task(client))
    assert client.parameters["requirepass"] == "hush-old"
    assert "hush" not in str(undone)


@pytest.mark.parametrize("password", [None, "before"])
def test_a_password_that_the_task_has_set_itself_lets_it_in_again(task, password):
    settings = [{"name": "timeout", "value": 300}, {"name": "RequirePass", "value": 12345}]
    params = task(Client(), settings=settings, password=password).params
    found = [login.password for login in redis_place.find(params).logins]
    assert found == [password, "12345", None]
    assert "12345" in redis_place.find(params).secrets()
    assert [login.password for login in redis_place.find({**params, "settings": []}).logins] == [password]


COMPOSE = "services:\n  redis:\n    image: redis:7\n    command: redis-server --maxmemory 512mb\n"


@pytest.fixture
def nothing_runs(monkeypatch):
    class Engine:
        def __init__(self, _host):
            pass

        def compose_labels(self):
            return []

        def containers(self, _project, running_only):
            assert running_only
            return []

    monkeypatch.setattr(docker_engine, "Engine", Engine)


@pytest.fixture
def stopped(task, tmp_path, monkeypatch, nothing_runs):
    """A service that no longer runs: the undo of a run that had set it live and changed its file. (file, run)"""
    file = tmp_path / "compose.yaml"
    file.write_text(COMPOSE)
    monkeypatch.setattr(Project, "require", lambda *_words: None)
    wanted = {"project_src": str(tmp_path), "service": "redis", "project_name": "bot", "files": [], "docker_host": None}

    def undo(check_mode=False, **more):
        one = task(Client(), check_mode=check_mode, state="absent", compose=wanted)
        one.place = redis_place.find(one.params)
        one.server = redis_run.reach(one.place, 1)
        for key, was in more.items():
            one.journal.remember(OWNER, key.replace("_", " "), was)
        return redis_run.absent(one), one.journal

    one = task(Client())
    one.journal.remember(OWNER, "redis redis maxmemory", str(512 * MB))
    bound_in_the_file(one.journal, file)
    return file, undo


def bound_in_the_file(journal, file):
    change = edit.Set(("services", "redis", "command"), "redis-server --maxmemory 96mb")
    text = edit.edit(file.read_bytes(), [change], file.name)
    project = Project(str(file.parent), (str(file),), True, known_name="bot")
    prepared = compose_change.Prepared(str(file), file.read_bytes(), text, {}, [change])
    compose_change.write(journal, OWNER, project, prepared)


def test_a_service_that_does_not_run_gets_its_file_back(stopped):
    """The server may be down because of what it was given: that must not stand in the way of taking it back."""
    file, undo = stopped
    assert "96mb" in file.read_text()
    planned, journal = undo(check_mode=True)
    assert planned["changed"] and "96mb" in file.read_text() and journal.owned(OWNER)
    result, journal = undo()
    assert result["changed"] and result["files_changed"] == [str(file)]
    assert result["server"]["name"] == "redis (does not run)"
    assert file.read_text() == COMPOSE
    assert journal.owned(OWNER) == {} and journal.files(OWNER) == []
    assert undo()[0]["changed"] is False


def test_a_file_that_only_the_server_can_put_back_needs_it_running(stopped):
    file, undo = stopped
    with pytest.raises(RedisError, match="Start it first"):
        undo(redis_rewrite_redis=True)
    assert "96mb" in file.read_text()


class Module:
    """In place of AnsibleModule, for `redis_maxmemory.run`."""

    def __init__(self, **params):
        self.params = {**{name: spec.get("default") for name, spec in ARGUMENT_SPEC.items()}, **params}
        self.check_mode, self.no_log_values, self.warnings = False, set(), []
        self.warn = self.warnings.append


def test_without_a_name_every_server_that_was_changed_is_put_back(tmp_path, nothing_runs):
    """Whatever the operator lists today: one was set live, one in its command, one in its configuration file."""
    compose, conf = tmp_path / "compose.yaml", tmp_path / "redis.conf"
    compose.write_text(COMPOSE)
    conf.write_text("maxmemory 512mb\n")
    with Journal("bot", str(tmp_path / "state")).locked() as journal:
        bound_in_the_file(journal, compose)
        journal.remember(OWNER, "redis cache maxmemory", str(512 * MB))
        place = redis_persist.Place("bot", "store", [], [])
        texts = b"maxmemory 512mb\n", b"maxmemory 96mb\n"
        plan = redis_persist.Plan("rewrite", str(conf), *texts, values={"maxmemory": "96mb"})
        redis_persist.write(journal, OWNER, place, Stopped("store"), plan, False)
        journal.remember(OWNER, "redis rewrite other", True)
        assert redis_run.changed_services(journal, OWNER) == ["cache", "other", "redis", "store"]
        journal.forget(OWNER, "redis rewrite other")
    wanted = {"project_src": str(tmp_path), "service": None, "project_name": "bot", "files": [], "docker_host": None}
    module = Module(state="absent", state_dir=str(tmp_path / "state"), compose=wanted)
    result = redis_maxmemory.run(module)
    assert result["changed"] and sorted(result["files_changed"]) == [str(compose), str(conf)]
    assert compose.read_text() == COMPOSE and conf.read_text() == "maxmemory 512mb\n"
    assert [entry["server"]["name"].split()[0] for entry in result["servers"]] == ["cache", "redis", "store"]
    assert Journal("bot", str(tmp_path / "state")).read_only().owned(OWNER) == {}
    again = redis_maxmemory.run(module)
    assert again["changed"] is False and again["servers"] == []


def test_what_is_to_be_bounded_has_to_be_named(tmp_path):
    wanted = {"project_src": str(tmp_path), "service": None, "project_name": "bot", "files": [], "docker_host": None}
    with pytest.raises(RedisError, match="service is missing"):
        redis_maxmemory.run(Module(compose=wanted))
