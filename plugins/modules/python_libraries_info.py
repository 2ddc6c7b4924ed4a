#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: python_libraries_info
short_description: Which Python libraries the target lacks
version_added: 0.1.0
description:
  - Imports each library in the Python that runs the collection's modules, and returns those that cannot be imported.
  - One look instead of gathering facts to learn which Python that is, and starting it once more.
author:
  - Headroom authors (@smallhost)
extends_documentation_fragment:
  - smallhost.headroom.reads_only
options:
  libraries:
    description: Names as they are imported.
    type: list
    elements: str
    required: true
seealso:
  - module: ansible.builtin.setup
"""

EXAMPLES = r"""
- name: Look for the Redis client and the YAML parser
  smallhost.headroom.python_libraries_info:
    libraries: [redis, yaml]
  register: libraries

- name: Say what is missing
  ansible.builtin.debug:
    msg: "{{ libraries.python }} lacks {{ libraries.missing | map(attribute='name') | join(', ') }}."
  when: libraries.missing | length > 0
"""

RETURN = r"""
python:
  description: Path of the Python that was looked into.
  returned: success
  type: str
  sample: /usr/bin/python3
missing:
  description: The libraries that cannot be imported, in the order that they were asked for.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The library.
      type: str
      sample: redis
    error:
      description: What the import said.
      type: str
      sample: "ModuleNotFoundError: No module named 'redis'"
"""

import importlib
import sys

from ansible.module_utils.basic import AnsibleModule


def missing(libraries: list[str]) -> list[dict[str, str]]:
    """Return name and error of each library that cannot be imported, whatever it fails with."""
    found = []
    for name in libraries:
        try:
            importlib.import_module(name)
        except Exception as error:
            found.append({"name": name, "error": f"{type(error).__name__}: {error}"})
    return found


def main() -> None:
    """Entry point."""
    spec = {"libraries": {"type": "list", "elements": "str", "required": True}}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    module.exit_json(changed=False, python=sys.executable, missing=missing(module.params["libraries"]))


if __name__ == "__main__":
    main()
