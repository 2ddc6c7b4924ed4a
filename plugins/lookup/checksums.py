# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: checksums
short_description: Checksums of all files in folders of the controller
version_added: 0.1.0
author:
  - Headroom authors (@smallhost)
description:
  - Returns the files of a folder and of the folders in it, each with its SHA-1, which is what M(ansible.builtin.copy)
    and M(ansible.builtin.stat) compare files by.
  - Files of any content, in no more time than reading them takes. M(ansible.builtin.find) does the same in a task.
  - What tools leave beside the files is not returned, which is everything whose name begins with a dot, and C(*.pyc).
options:
  _terms:
    description: Folders.
    type: list
    elements: path
    required: true
seealso:
  - module: ansible.builtin.find
  - plugin: ansible.builtin.fileglob
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Say what the role brings
  ansible.builtin.debug:
    msg: "{{ query('smallhost.headroom.checksums', role_path ~ '/files') | map(attribute='path') }}"
"""

RETURN = r"""
_raw:
  description: The files, by path.
  type: list
  elements: dict
  contains:
    path:
      description: Relative to the folder.
      type: str
      sample: gateway/policy.toml
    checksum:
      description: The file's SHA-1.
      type: str
      sample: 2ef7bde608ce5404e97d5f042f95f89f1c232871
"""

import os
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.utils.hashing import secure_hash


def checksums(folder: str) -> list[dict[str, str]]:
    """The files of a folder by path. Raises AnsibleError where there is no such folder, or a file cannot be read."""
    if not os.path.isdir(folder):
        raise AnsibleError(f"{folder} is no folder of the controller.")
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and not name.endswith(".pyc"):
                path = os.path.join(place, name)
                found.append({"path": os.path.relpath(path, folder), "checksum": str(secure_hash(path))})
    return sorted(found, key=lambda entry: entry["path"])


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[dict[str, str]]:
        """The files of all folders. Raises AnsibleError."""
        self.set_options(var_options=variables, direct=kwargs)
        return [entry for folder in terms for entry in checksums(folder)]
