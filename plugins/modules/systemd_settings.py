#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: systemd_settings
short_description: Bound the journal, and the limits that systemd gives every service, with a drop-in
version_added: 0.1.0
author:
  - Headroom authors (@smallhost)
description:
  - Writes one drop-in for C(journald.conf) or C(system.conf) and has the daemon read it, the journal's by a restart
    that loses no message, systemd itself by C(daemon-reload).
  - Says which file wins where another one sets the same key.
  - A smaller bound for the journal deletes its oldest files at once. O(state=absent) does not bring them back.
extends_documentation_fragment:
  - smallhost.headroom.undo
attributes:
  check_mode:
    support: full
    description: Shows the drop-in and changes nothing.
  diff_mode:
    support: full
    description: Shows the drop-in before and after.
  idempotent:
    support: full
    description: A second run changes nothing.
options:
  conf:
    description:
      - Whose configuration it is, V(journald) for the journal, V(system) for systemd itself.
    type: str
    choices: [journald, system]
    required: true
  settings:
    description:
      - The settings of the drop-in, all of them.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The key, as V(SystemMaxUse).
        type: str
        required: true
      value:
        description: Its value, as V(200M).
        type: str
        required: true
  name:
    description:
      - The drop-in's file name.
    type: str
    default: 90-headroom.conf
notes:
  - The undo journal is that of the scope C(_host) under O(state_dir).
  - Services that run keep the limits that they were started with.
seealso:
  - name: journald.conf
    description: The journal's settings.
    link: https://www.freedesktop.org/software/systemd/man/latest/journald.conf.html
  - name: systemd-system.conf
    description: The settings of systemd itself.
    link: https://www.freedesktop.org/software/systemd/man/latest/systemd-system.conf.html
"""

EXAMPLES = r"""
- name: A journal of at most 200 MB
  smallhost.headroom.systemd_settings:
    conf: journald
    settings:
      - {name: SystemMaxUse, value: 200M}

- name: As it was before the first run
  smallhost.headroom.systemd_settings:
    conf: journald
    state: absent
"""

RETURN = r"""
file:
  description: The drop-in.
  returned: success
  type: str
  sample: /etc/systemd/journald.conf.d/90-headroom.conf
settings:
  description: One entry for each setting. Empty in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The setting.
      type: str
      sample: SystemMaxUse
    value:
      description: Its wanted value.
      type: str
      sample: 200M
    overridden_by:
      description: The file that gives it another value and wins; V(null) when there is none.
      type: str
      sample: null
figures:
  description: For the journal, what it held before and after in bytes. Empty for systemd itself.
  returned: success
  type: dict
  contains:
    before:
      description: Memory of journald, and disk of its files, before this run.
      type: dict
      sample: {memory: 25165824, disk: 536870912}
    after:
      description: The same after it.
      type: dict
      sample: {memory: 8388608, disk: 209715200}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.tasks import systemd_settings as task


def main() -> None:
    """Entry point."""
    task.work(AnsibleModule(argument_spec=task.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
