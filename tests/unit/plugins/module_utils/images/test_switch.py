# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.images import plan, rewrite, run, switch
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal

OLD, OURS, NEW_OF_OURS, BUILT, CI = (f"sha256:{letter * 64}" for letter in "abcde")
NAMES = {"app:latest": OLD, "app:before-headroom": OLD, "app:headroom": OURS}


class Store:
    """An engine's names and images; those that this module built have its label."""

    def __init__(self, **names):
        self.names = {**NAMES, **names}
        self.ids = {OLD, OURS, NEW_OF_OURS, BUILT, CI}

    def image_id(self, name):
        found = self.names.get(name, name)
        return found if found in self.ids else None

    def image(self, name):
        found = self.image_id(name)
        labels = {rewrite.HASH_LABEL: "x", rewrite.SOURCES_LABEL: "1"} if found in (OURS, NEW_OF_OURS) else None
        return {"Id": found, "Created": "2026-05-04T10:00:00Z", "Config": {"Labels": labels}} if found else {}

    def tag(self, image, name):
        self.names[name] = self.image_id(image)

    def remove(self, name):
        self.names.pop(name, None)


@pytest.fixture
def task(tmp_path):
    journal = Journal("p", str(tmp_path))
    with journal.locked():
        for service in ("api", "worker"):
            was = {"name": "app:latest", "id": OLD, "kept": "app:before-headroom"}
            journal.remember("o", f"image of {service}", was)
        yield SimpleNamespace(journal=journal, owner="o", warnings=[], containers=list)


def test_the_old_image_comes_back_without_a_word_where_nobody_has_built_since(task):
    store = Store()
    assert switch.give_back(task, store, []) == []
    assert store.names == {"app:latest": OLD, "app:headroom": OURS}
    assert switch.kept(task) == {}


def test_an_old_image_that_the_operator_gave_our_name_comes_back_without_a_word(task):
    store = Store(**{"app:headroom": OLD})
    store.remove("app:before-headroom")
    assert switch.give_back(task, store, []) == []
    assert store.names == {"app:latest": OLD, "app:headroom": OLD}


def test_an_image_that_the_operator_built_since_gets_the_old_name_and_older_code_does_not_come_back(task):
    store = Store(**{"app:headroom": BUILT})
    told = switch.give_back(task, store, ["api"])
    assert store.names == {"app:latest": BUILT, "app:before-headroom": OLD, "app:headroom": BUILT}
    assert "dddddddddddd of 2026-05-04" in told[0]
    assert "docker compose build api" in told[0]
    assert "app:before-headroom" in told[0]
    assert list(switch.kept(task)) == ["worker"]


@pytest.mark.parametrize("ours", [OURS, BUILT])
def test_an_image_that_somebody_built_under_the_old_name_keeps_it(task, ours):
    store = Store(**{"app:latest": CI, "app:headroom": ours})
    told = switch.give_back(task, store, [])
    assert store.names == {"app:latest": CI, "app:before-headroom": OLD, "app:headroom": ours}
    assert "app:latest of api" in told[0]
    assert "docker compose build api" in told[0]
    assert switch.kept(task) == {}


def test_a_build_for_another_version_of_our_dockerfile_leaves_the_old_image_to_come_back(task):
    store = Store(**{"app:headroom": NEW_OF_OURS})
    config = {"image": "app:headroom", "build": {"context": "/x", "dockerfile": "Dockerfile.headroom"}}
    service = plan.Service("api", config, "p", written="Dockerfile.headroom", sources="1")
    switch.keep_replaced(task, store, service, OURS)
    assert switch.give_back(task, store, []) == []
    assert store.names == {"app:latest": OLD, "app:headroom": NEW_OF_OURS}


@pytest.mark.parametrize("replaced", [OURS, BUILT])
def test_what_a_later_build_of_ours_replaced_comes_back(task, replaced):
    store = Store(**{"app:headroom": NEW_OF_OURS})
    config = {"image": "app:headroom", "build": {"context": "/x", "dockerfile": "Dockerfile.headroom"}}
    for name in ("api", "worker"):
        service = plan.Service(name, config, "p", written="Dockerfile.headroom")
        switch.keep_replaced(task, store, service, replaced)
    told = switch.give_back(task, store, [])
    assert store.names == {"app:latest": replaced, "app:headroom": NEW_OF_OURS}
    assert ["our last build replaced" in text for text in told] == [True, True]


def test_a_build_keeps_the_image_that_it_replaces(task, monkeypatch):
    store = Store(**{"app:headroom": BUILT, "app:headroom-candidate": NEW_OF_OURS})
    config = {"image": "app:headroom", "build": {"context": "/x", "dockerfile": "Dockerfile.headroom"}}
    services = [plan.Service(name, config, "p", written="Dockerfile.headroom") for name in ("api", "worker")]
    monkeypatch.setattr(store, "remove", lambda name: None)
    building = SimpleNamespace(
        task=task, store=store, names=dict.fromkeys(("api", "worker"), "app:headroom"),
        build=lambda service, folder: None, unfit=lambda service: None, look_for_unused=lambda service: None,
        candidate=lambda service: "app:headroom-candidate",
    )  # fmt: skip
    assert run._try(building, services) == services
    assert store.names["app:before-headroom"] == BUILT
    assert store.names["app:headroom"] == NEW_OF_OURS


def test_a_removed_image_is_named_and_check_mode_only_tells(task):
    store = Store()
    store.ids.remove(OLD)
    told = switch.give_back(task, store, [], check_mode=True)
    assert "removed from this host" in told[0]
    assert store.names == NAMES
    assert list(switch.kept(task)) == ["api", "worker"]


@pytest.mark.parametrize(("dockerfile", "found"), [("Dockerfile", OLD), ("Dockerfile.headroom", OURS)])
def test_an_image_of_ours_that_runs_until_the_restart_after_an_undo_is_not_the_old_one(task, dockerfile, found):
    task.containers = lambda: [SimpleNamespace(service="api", data={"Image": OURS})]
    service = plan.Service("api", {"image": "app:latest"}, "p", written=dockerfile)
    assert switch.current_image(task, Store(), service) == found
