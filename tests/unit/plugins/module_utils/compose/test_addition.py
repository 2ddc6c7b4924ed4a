# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Services of the collection's own in a user's compose file."""

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import addition, edit

FILE = b"""# the bot
services:
  redis:            # queue
    image: redis:7-alpine

volumes:
  data:
"""
CACHE = {
    "image": "redis:7-alpine",
    "command": ["redis-server", "--save", "", "--maxmemory", "96mb"],
    "read_only": True,
    "mem_limit": "128M",
    "healthcheck": {"test": ["CMD", "redis-cli", "ping"], "interval": "10s"},
}
NETWORK = {"ipam": {"config": [{"subnet": "10.254.213.0/29"}]}}
PARAMS = {"services": [{"name": "cache", "definition": CACHE}], "networks": [{"name": "own", "definition": NETWORK}]}


def written(text, params=None, ours=()):
    wanted = addition.places(params or PARAMS)
    changes = addition.plan(wanted, ours, edit.Document(text, "compose.yml"))
    return edit.edit(text, changes, "compose.yml"), changes


def test_definition_is_written_as_given_and_nothing_else_changes():
    after, _changes = written(FILE)
    document = edit.Document(after, "compose.yml")
    found = document.get(("services", "cache"))
    assert found.pop("labels") == {addition.LABEL_DIGEST: addition.digest(CACHE)}
    assert found == CACHE
    assert document.get(("networks", "own")) == NETWORK
    assert [line for line in FILE.splitlines() if line not in after.splitlines()] == []


def test_second_plan_is_empty():
    after, _changes = written(FILE)
    assert written(after)[1] == []


def test_changed_definition_replaces_the_old_one():
    after, _changes = written(FILE)
    smaller = {"services": [{"name": "cache", "definition": {"image": "valkey:8"}}], "networks": []}
    ours = [("services", "cache"), ("networks", "own")]
    again, _changes = written(after, smaller, ours)
    document = edit.Document(again, "compose.yml")
    assert document.get(("services", "cache", "image")) == "valkey:8"
    assert document.get(("services", "cache", "read_only")) is None
    assert document.get(("networks", "own")) is None


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"services": [{"name": "a", "definition": {"build": "."}}], "networks": []}, "image"),
        ({"services": [{"name": "a", "definition": CACHE}] * 2, "networks": []}, "twice"),
        ({"services": [{"name": "a", "definition": {"image": "x", "labels": ["a=b"]}}], "networks": []}, "mapping"),
    ],
)
def test_wrong_parameters_are_refused(params, word):
    with pytest.raises(ValueError, match=word):
        addition.places(params)


def test_service_of_the_users_own_is_not_taken_over():
    wanted = addition.places(PARAMS)
    model = {"services": {"cache": {}, "redis": {}}, "networks": {"default": {}}}
    assert addition.foreign(wanted, model, ours=[]) == ["service cache"]
    assert addition.foreign(wanted, model, ours=[("services", "cache")]) == []


def test_container_is_known_by_the_definition_that_it_was_made_from():
    definition = addition.places({**PARAMS, "networks": []})["services", "cache"]
    same = {"running": True, "labels": {addition.LABEL_DIGEST: addition.digest(CACHE)}}
    assert not addition.pending(definition, [same])
    assert addition.pending(definition, [])
    assert addition.pending(definition, [{**same, "running": False}])
    assert addition.pending(definition, [{**same, "labels": {addition.LABEL_DIGEST: addition.digest({})}}])


def test_digest_does_not_depend_on_the_order_of_keys():
    assert addition.digest(dict(reversed(list(CACHE.items())))) == addition.digest(CACHE)
