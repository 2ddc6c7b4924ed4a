#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: code_audit
short_description: Say what in an application's Python code costs memory or makes users wait
version_added: 0.1.0
description:
  - Reads the source in a folder, without running it, for calls that block the event loop, requests and clients without
    a timeout, round trips in loops, whole files and downloads in memory, and dependencies that nothing imports.
  - Runs C(ruff) (rules ASYNC, PERF and S113) and C(deptry) where they are installed, and says so where they are not.
  - Made to run on the controller, over a copy of the source. The role P(smallhost.headroom.code_audit#role) fetches it,
    and has the imports measured in the application's image.
author:
  - Headroom authors (@smallhost)
extends_documentation_fragment:
  - smallhost.headroom.reads_only
options:
  source:
    description: The folder that the application's modules are imported from. Tests and migrations are passed over.
    type: path
    required: true
  imports_only:
    description: Only return RV(imports).
    type: bool
    default: false
  profiles:
    description: What the role's C(import_profile.py) has printed in images, parsed.
    type: list
    elements: dict
    default: []
  commands:
    description: Commands of the services. A dependency whose program one of them runs is in use.
    type: list
    elements: str
    default: []
seealso:
  - module: smallhost.headroom.compose_usage_info
"""

EXAMPLES = r"""
- name: Look at a checkout
  smallhost.headroom.code_audit:
    source: /home/me/bot
  delegate_to: localhost
  register: audit
"""

RETURN = r"""
findings:
  description: What was found, the gravest first.
  returned: unless O(imports_only=true)
  type: list
  elements: dict
  contains:
    kind:
      description: Which rule found it.
      type: str
      sample: blocking_call
    severity:
      description: V(high) stops other users or waits for ever, V(medium) costs memory or time, V(low) is worth knowing.
      type: str
      sample: high
    path:
      description: The file, relative to O(source).
      type: str
      sample: app/bot/handlers.py
    line:
      description: The line; 0 for the file as a whole.
      type: int
      sample: 58
    what:
      description: What stands there.
      type: str
      sample: time.sleep() in async def poll (time.sleep)
    cost:
      description: What it does, with a figure where one was measured.
      type: str
      sample: While it waits for a translation, the process does nothing for any other user.
    remedy:
      description: What to write.
      type: str
      sample: await asyncio.to_thread(translate, ...), or the library's asynchronous client.
    item:
      description: The item of the plan that it belongs to.
      type: int
      sample: 12
imports:
  description: Top-level names of the third-party modules that the source imports, each with the statements.
  returned: success
  type: dict
  sample: {"PIL": ["from PIL import Image"], "rq": ["from rq import Queue", "from rq.job import Job"]}
not_run:
  description: What could not be looked at, and why.
  returned: unless O(imports_only=true)
  type: list
  elements: str
  sample: []
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.code_audit import run

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "source": {"type": "path", "required": True},
    "imports_only": {"type": "bool", "default": False},
    "profiles": {"type": "list", "elements": "dict", "default": []},
    "commands": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    source = module.params["source"]
    try:
        imports = run.imports(source)
        if module.params["imports_only"]:
            module.exit_json(changed=False, imports=imports)
        findings, not_run = run.audit(source, module.params["profiles"], module.params["commands"])
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}.")
    if not imports and not findings:
        module.fail_json(msg=f"{source} holds no Python code that imports anything. Name the application's folder.")
    for text in not_run:
        module.warn(text)
    module.exit_json(changed=False, imports=imports, findings=[one.as_dict() for one in findings], not_run=not_run)


if __name__ == "__main__":
    main()
