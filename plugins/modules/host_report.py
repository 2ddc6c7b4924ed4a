#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_report
short_description: Write the report of one host as a web page, as Markdown and as JSON
version_added: 0.1.0
description:
  - Makes of what other modules have measured and recorded one page of HTML that needs no network and runs no script,
    and the same as Markdown and as JSON.
  - It is meant to run on the controller, so delegate it to C(localhost). The C(report) role does so.
  - The same data give the same files. Where only O(data.measured_at) has moved on, the files stay as they are.
  - Whatever looks like a credential is replaced by three stars.
author:
  - Headroom authors (@smallhost)
attributes:
  check_mode:
    description: Writes nothing in check mode and says whether it would.
    support: full
  diff_mode:
    description: Shows the change of the Markdown.
    support: full
  idempotent:
    description: The same data give the same files.
    support: full
requirements:
  - jinja2 (comes with ansible-core)
  - pygal (optional, for the plots; without it the page has tables only)
options:
  data:
    description: What the report is made of.
    type: dict
    required: true
    suboptions:
      host:
        description: Name of the host in the inventory.
        type: str
        required: true
      users:
        description: Number of users that is planned for.
        type: int
        required: true
      usage:
        description: What M(smallhost.headroom.compose_usage_info) has returned.
        type: dict
        required: true
      runs:
        description: RV(smallhost.headroom.rollout_record#module:runs).
        type: list
        elements: dict
        required: true
      recorded:
        description: What M(smallhost.headroom.recorded_info) has returned.
        type: dict
        required: true
      measured_at:
        description: When it was measured, in seconds since the epoch. The time of O(data.recorded) if not set.
        type: float
      findings:
        description: What the audit has to say. Those of O(data.usage) if not set; the section is left out without any.
        type: list
        elements: dict
      cache:
        description: Calls to paid providers as C(asked) and C(saved). The section is left out if not set.
        type: dict
  folder:
    description: Where the files are written. It is made where it does not exist.
    type: path
    required: true
  templates:
    description: Folder of the templates C(report.html.j2) and C(report.md.j2).
    type: path
    required: true
seealso:
  - module: smallhost.headroom.compose_usage_info
  - module: smallhost.headroom.recorded_info
  - module: smallhost.headroom.rollout_record
"""

EXAMPLES = r"""
- name: Write the report
  smallhost.headroom.host_report:
    data:
      host: "{{ inventory_hostname }}"
      users: 50
      usage: "{{ usage }}"
      runs: "{{ record.runs }}"
      recorded: "{{ recorded }}"
    folder: ./headroom-report
    templates: "{{ role_path }}/templates"
  delegate_to: localhost
  become: false
"""

RETURN = r"""
files:
  description: The files, by their kind.
  returned: success
  type: dict
  sample: {html: ./headroom-report/web1.html, md: ./headroom-report/web1.md, json: ./headroom-report/web1.json}
plots:
  description: Whether the page has plots.
  returned: success
  type: bool
  sample: true
"""

import json
import os
import re
import traceback
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.smallhost.headroom.plugins.module_utils import atomic_file
from ansible_collections.smallhost.headroom.plugins.module_utils.report import charts as report_charts
from ansible_collections.smallhost.headroom.plugins.module_utils.report import model as report_model
from ansible_collections.smallhost.headroom.plugins.module_utils.report import page as report_page

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "data": {
        "type": "dict",
        "required": True,
        "options": {
            "host": {"type": "str", "required": True},
            "users": {"type": "int", "required": True},
            "usage": {"type": "dict", "required": True},
            "runs": {"type": "list", "elements": "dict", "required": True},
            "recorded": {"type": "dict", "required": True},
            "measured_at": {"type": "float"},
            "findings": {"type": "list", "elements": "dict"},
            "cache": {"type": "dict"},
        },
    },
    "folder": {"type": "path", "required": True},
    "templates": {"type": "path", "required": True},
}


def file_name(host: str) -> str:
    """A host's name as the stem of a file name: an address of IPv6 or a slash must not lead elsewhere."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", host).lstrip(".") or "host"


def dated(model: dict[str, Any], before: bytes | None) -> dict[str, Any]:
    """The model with the date of the report that is there, where nothing else differs from it."""
    try:
        old = json.loads(before or b"null")
    except ValueError:
        return model
    kept = {**model, "measured_at": (old or {}).get("measured_at")} if isinstance(old, dict) else model
    return kept if kept == old else model


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    if not report_page.HAS_JINJA2:
        module.fail_json(msg=missing_required_lib("jinja2"))
    stem = os.path.join(params["folder"], file_name(params["data"]["host"]))
    paths = {kind: f"{stem}.{kind}" for kind in ("html", "md", "json")}
    try:
        before = {kind: atomic_file.read(path) for kind, path in paths.items()}
        # Through JSON once, so that it compares with what is read from a file.
        model = json.loads(json.dumps(report_model.build(params["data"])))
        texts = report_page.render(dated(model, before["json"]), params["templates"])
        changed = {kind for kind, text in texts.items() if before[kind] != text.encode("utf-8")}
        if changed and not module.check_mode:
            os.makedirs(params["folder"], exist_ok=True)
            for kind in sorted(changed):
                atomic_file.replace(paths[kind], texts[kind].encode("utf-8"), mode=0o644)
    except OSError as error:
        module.fail_json(msg=f"The report cannot be written: {error}. Nothing of the host was changed.")
    except (KeyError, TypeError, ValueError, report_page.TemplateError) as error:
        module.fail_json(
            msg=f"The data do not make a report ({type(error).__name__}: {error}). "
            "Give it what the modules of this collection have returned.",
            exception=traceback.format_exc(),
        )
    diff = {
        "before": (before["md"] or b"").decode("utf-8", "replace"),
        "after": texts["md"],
        "before_header": paths["md"],
        "after_header": paths["md"],
    }
    module.exit_json(changed=bool(changed), files=paths, plots=report_charts.HAS_PYGAL, diff=diff)


if __name__ == "__main__":
    main()
