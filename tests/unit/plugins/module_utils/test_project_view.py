# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib

from ansible_collections.smallhost.headroom.plugins.module_utils import project_view

MODEL = {
    "name": "bot",
    "services": {
        "api": {
            "build": {"context": "."},
            "networks": {"front": None, "back": None},
            "mem_limit": "150000000",
            "environment": {"PYTHONPATH": None, "OPENAI_API_KEY": "sk-secret"},
            "volumes": [{"type": "bind", "source": "/a", "target": "/opt/headroom/site"}],
        },
        "redis": {"image": "redis:7", "network_mode": "service:api", "deploy": {"resources": {"limits": {}}}},
    },
}


def test_services_are_told_without_what_was_not_asked_for():
    assert project_view.services(MODEL, ["PYTHONPATH", "HEADROOM_RUNTIME"]) == {
        "api": {
            "image": "bot-api",
            "image_named": False,
            "network_mode": "",
            "networks": ["front", "back"],
            "memory": 150_000_000,
            "environment": {"PYTHONPATH": None},
            "targets": ["/opt/headroom/site"],
        },
        "redis": {
            "image": "redis:7",
            "image_named": True,
            "network_mode": "service:api",
            "networks": [],
            "memory": 0,
            "environment": {},
            "targets": [],
        },
    }
    assert project_view.services({"name": "bot"}, []) == {}


def test_the_tree_has_modes_and_checksums_and_follows_no_link(tmp_path):
    folder, other = tmp_path / "bot", tmp_path / "other"
    (folder / "site/__pycache__").mkdir(parents=True)
    (folder / "site/__pycache__/part.pyc").touch()
    (folder / "site/part.py").write_bytes(b"text")
    (folder / "site/part.py").chmod(0o600)
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    other.mkdir()
    other.chmod(0o1777)
    found = project_view.tree(str(folder), [str(other), str(tmp_path / "missing"), f"{folder}/site/part.py/below"])
    states = {entry["path"][len(str(tmp_path)) + 1 :]: (entry["mode"], entry["checksum"]) for entry in found}
    assert states.pop("bot/site/part.py") == ("0600", hashlib.sha1(b"text").hexdigest())
    assert states.pop("other") == ("1777", None)
    assert states.pop("bot/gone")[1] is None
    assert sorted(states) == ["bot", "bot/site"]
    assert project_view.tree(str(tmp_path / "missing"), []) == []
