#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: media_cleanup
short_description: Remove old media files, by age and by how full the disk is
version_added: 0.1.0
description:
  - Removes regular files below named folders, once. The role P(smallhost.headroom.media_cleanup#role) does the same by
    a timer.
  - No symbolic link is followed or removed, no mount point is crossed, no folder is removed, and nothing outside of the
    named folders is touched.
  - No file goes that a process has open or mapped, processes in containers included, nor one that was written, moved
    or linked within O(folders[].keep_newer). Each file is renamed out of reach before the last look at it, so that this
    also holds while others write.
author:
  - Headroom authors (@smallhost)
attributes:
  check_mode:
    description: Can run in check mode and return which files would go, without removing them.
    support: full
  diff_mode:
    description: Lists the files that go.
    support: full
  idempotent:
    description: A second run removes nothing, unless files have become old or the disk full meanwhile.
    support: full
options:
  folders:
    description: The folders and what may go in them.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description:
          - The folder. Folders of the system, and folders that hold one, are refused.
        type: path
        required: true
      max_age:
        description:
          - Files older than this go, for example V(14d), V(36h) or V(1d12h).
          - A file's age counts from when it was last written, moved, renamed or linked. Reading does not make it
            younger, because a backup reads everything.
        type: str
      disk_high:
        description:
          - Once the disk is as full as this, for example V(85%), the oldest files go until it is at
            O(folders[].disk_low). Full is what C(df) calls it.
          - A file with a further name outside of the folder stays, because removing it frees nothing.
        type: str
      disk_low:
        description: How full the disk may be afterwards.
        type: str
      keep_newer:
        description: What is newer than this stays, however full the disk is.
        type: str
        default: 60m
notes:
  - Needs root, because it looks into all processes for the files that they have open.
seealso:
  - name: tmpfiles.d(5)
    description: systemd's cleaning by age, which does not ask whether a file is open.
    link: https://www.freedesktop.org/software/systemd/man/latest/tmpfiles.d.html
"""

EXAMPLES = r"""
- name: See what is older than two weeks
  smallhost.headroom.media_cleanup:
    folders:
      - {path: /var/lib/docker/volumes/bot_media/_data, max_age: 14d}
  check_mode: true
  register: old

- name: Keep a month, and less when the disk fills
  smallhost.headroom.media_cleanup:
    folders:
      - path: /srv/bot/media
        max_age: 30d
        disk_high: 85%
        disk_low: 75%
"""

RETURN = r"""
folders:
  description: What became of each folder; in check mode what would become of it.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The folder, links in its path resolved.
      type: str
      sample: /srv/bot/media
    max_age:
      description:
        - Seconds after which a file goes by its age alone, the longer of O(folders[].max_age) and
          O(folders[].keep_newer); V(null) where age is no reason.
      type: int
      sample: 2592000
    removed:
      description: How many names of files went.
      type: int
      sample: 118
    freed:
      description: Bytes that came free by it.
      type: int
      sample: 52428800
    kept:
      description: How many of the chosen files stayed after all, by reason.
      type: dict
      sample: {"in use": 2, "changed": 1}
    recovered:
      description: How many files came back to their places that a killed run had left in its own folder.
      type: int
      sample: 0
    disk_before:
      description: How full the disk was, in percent.
      type: float
      sample: 87.4
    disk_after:
      description: How full it is.
      type: float
      sample: 74.9
    files:
      description: The files, the oldest first; 1000 at most.
      type: list
      elements: dict
      contains:
        path:
          description: The path below the folder; what is no text in it as escapes.
          type: str
          sample: 4711/1795351000_original.jpg
        size:
          description: Bytes that it took on the disk.
          type: int
          sample: 450560
        days:
          description: Its age in days.
          type: float
          sample: 31.2
        reason:
          description: V(age) or V(disk).
          type: str
          sample: age
freed:
  description: Bytes that came free in all folders.
  returned: success
  type: int
  sample: 52428800
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.media.cleanup import clean
from ansible_collections.smallhost.headroom.plugins.module_utils.media.rules import Rule

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "folders": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "path": {"type": "path", "required": True},
            "max_age": {"type": "str"},
            "disk_high": {"type": "str"},
            "disk_low": {"type": "str"},
            "keep_newer": {"type": "str", "default": "60m"},
        },
    },
}


def listing(folders: list[dict[str, Any]]) -> str:
    """The files that go, a line each, for --diff."""
    lines = [f"{entry['path']}/{file['path']}\n" for entry in folders for file in entry["files"]]
    return "".join(lines)


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    wanted = module.params["folders"]
    try:
        for entry in wanted:
            Rule.read(entry)  # all of them before anything is removed
        folders = [clean(entry, module.check_mode).as_dict(time.time_ns()) for entry in wanted]
    except OSError as error:
        named = error.filename and error.strerror
        module.fail_json(msg=f"{error.filename}: {error.strerror}." if named else str(error))
    except ValueError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=any(entry["removed"] or entry["recovered"] for entry in folders),
        folders=folders,
        freed=sum(entry["freed"] for entry in folders),
        diff={"before": listing(folders), "after": ""},
    )


if __name__ == "__main__":
    main()
