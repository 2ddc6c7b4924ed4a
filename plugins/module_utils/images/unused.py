# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requirements that nothing imports, found by deptry (github.com/osprey-oss/deptry) inside the image.

There, because it has to know which module each installed package brings. It is fetched into the trial container only.
Its findings are for reading: what is used by name alone (a database driver in a URL, a plug-in) looks unused to it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence

from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import EngineError
from ansible_collections.smallhost.headroom.plugins.module_utils.images.store import ImageStore
from ansible_collections.smallhost.headroom.plugins.module_utils.images.trial import LABELS

_SECONDS = 120
_MEMORY = 512 * 1024 * 1024
_SCRIPT = """
python3 -m pip install --quiet --disable-pip-version-check --target /tmp/deptry deptry > /tmp/pip.log 2>&1 \
  || { tail -n 1 /tmp/pip.log; exit 3; }
PYTHONPATH="/tmp/deptry:$PYTHONPATH" python3 -m deptry . --requirements-files "$1" --ignore DEP001,DEP003,DEP004 \
  --json-output /tmp/found.json > /tmp/deptry.log 2>&1
test -s /tmp/found.json || { tail -n 1 /tmp/deptry.log; exit 4; }
echo "headroom-unused: $(tr -d '\\n' < /tmp/found.json)"
"""


def found(log: str, started: Sequence[str]) -> list[str] | None:
    """The requirements that nobody imports or starts, from the container's log; None where it could not be checked."""
    lines = re.findall(r"^headroom-unused: (\[.*\])$", log, re.MULTILINE)
    if not lines:
        return None
    names = [str(entry["module"]) for entry in json.loads(lines[-1]) if entry["error"]["code"] == "DEP002"]
    words = {re.split(r"[/:]", word)[-1].lower() for word in started} | {word.split(".")[0].lower() for word in started}
    return sorted({name for name in names if name.lower() not in words})


def ask(
    store: ImageStore, image: str, requirements: str, network: str | None, started: Sequence[str]
) -> list[str] | None:
    """Ask deptry in a container of the image. `requirements`: the file's absolute path. None: it could not be asked."""
    host = {"NetworkMode": network or "default", "Memory": _MEMORY, "MemorySwap": _MEMORY, "OomScoreAdj": 1000}
    made = {
        "Image": image, "HostConfig": host, "Labels": LABELS, "User": "0", "Entrypoint": ["sh"],
        "Cmd": ["-c", _SCRIPT, "sh", requirements], "Healthcheck": {"Test": ["NONE"]},
    }  # fmt: skip
    try:
        container = store.create(made)
    except EngineError:
        return None
    try:
        store.start(container)
        end = time.monotonic() + _SECONDS
        while store.state(container).get("Running") and time.monotonic() < end:
            time.sleep(1)
        return found(store.logs(container), started)
    except EngineError:
        return None
    finally:
        store.discard(container)
