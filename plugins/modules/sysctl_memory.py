#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sysctl_memory
short_description: Set kernel memory settings and transparent huge pages, live and for the next boot
version_added: 0.1.0
author:
  - Headroom authors (@smallhost)
description:
  - Brings any number of kernel settings to their values in one task. All are checked first, then the live values are
    written to C(/proc/sys) directly, then one drop-in file. Only what differs is written.
  - When a step fails, the values already written are put back, the files stay as they were, and one message says what
    happened.
  - Says which line of which file decides each setting at boot, by the rules of C(systemd-sysctl) and
    C(systemd-tmpfiles), and what the value does on this machine.
  - In the drop-in the task owns one marked block; other lines of the file are not touched. The block holds exactly the
    settings wanted now. A setting that an earlier run with the same O(undo_key) had set and that is wanted no more gets
    its first value back.
  - These settings belong to the whole machine. They are not separate for a container.
extends_documentation_fragment:
  - smallhost.headroom.undo
attributes:
  check_mode:
    support: full
    description: Shows every change and makes none.
  diff_mode:
    support: full
    description: Shows the live values and the files before and after.
  idempotent:
    support: full
    description: A second run with the same values changes nothing.
options:
  settings:
    description:
      - The kernel settings to hold. With O(state=absent) they are not looked at, everything of O(undo_key) is undone.
      - One of V(vm.dirty_bytes) and V(vm.dirty_ratio) can be given, not both, since each switches the other off; the
        same holds for V(vm.dirty_background_bytes) and V(vm.dirty_background_ratio), and for V(vm.overcommit_kbytes)
        and V(vm.overcommit_ratio).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The key, as in V(vm.swappiness) or V(vm/swappiness). A dot inside a part, as in the name of an interface, is
            written as a slash in the first form (V(net.ipv4.conf.eth0/100.rp_filter)) and stays a dot in the second.
        type: str
        required: true
      value:
        description:
          - A number or a string, also one with several numbers as in V(4096 87380 6291456).
          - A boolean is refused, since YAML makes one of an unquoted V(yes) or V(on).
        type: raw
        required: true
  transparent_hugepage:
    description:
      - Modes of transparent huge pages. At boot they are set by C(systemd-tmpfiles), from a file in
        C(/etc/tmpfiles.d) named after O(file), for example C(headroom-thp.conf).
    type: dict
    suboptions:
      enabled:
        description: Who gets huge pages.
        type: str
        choices: [always, madvise, never]
      defrag:
        description: Who waits while memory is compacted to make a huge page.
        type: str
        choices: [always, defer, defer+madvise, madvise, never]
  file:
    description:
      - The drop-in that holds the settings for the next boot.
    type: path
    default: /etc/sysctl.d/90-headroom.conf
  take_over:
    description:
      - What to do when a line elsewhere gives one of the settings another value at boot. When V(false) this is reported
        in RV(settings[].overridden_by) and as a warning.
      - When V(true) the drop-in gets a name under which it wins, and nobody else's file is changed.
    type: bool
    default: false
  on_missing:
    description:
      - What to do about a setting that this kernel does not have.
    type: str
    choices: [fail, skip]
    default: fail
  on_readonly:
    description:
      - What to do when a live value has to change and cannot be written, as inside a container.
      - With V(persist) only the files are written, and the result says so.
    type: str
    choices: [fail, persist]
    default: fail
  root:
    description:
      - Work on the system under this folder, for images and tests. Live values are those under its C(proc/sys) and
        C(sys/kernel/mm); where these folders do not exist, only files are written.
      - The undo journal stays at O(state_dir).
    type: path
    default: /
notes:
  - The undo journal is that of the scope C(_host) under O(state_dir).
seealso:
  - name: Kernel documentation of the vm settings
    description: What each setting means.
    link: https://docs.kernel.org/admin-guide/sysctl/vm.html
  - name: sysctl.d
    description: Which file wins at boot.
    link: https://www.freedesktop.org/software/systemd/man/latest/sysctl.d.html
"""

EXAMPLES = r"""
- name: Memory settings of a small Docker host
  smallhost.headroom.sysctl_memory:
    settings:
      - {name: vm.swappiness, value: 10}
      - {name: vm.overcommit_memory, value: 1}
      - {name: vm.dirty_background_bytes, value: 33554432}
      - {name: vm.dirty_bytes, value: 134217728}
    transparent_hugepage:
      enabled: madvise
      defrag: defer+madvise

- name: Win over a file that sets the same key later
  smallhost.headroom.sysctl_memory:
    settings:
      - {name: vm.swappiness, value: 10}
    take_over: true

- name: Put back live values and files as they were before the first run
  smallhost.headroom.sysctl_memory:
    state: absent
"""

RETURN = r"""
settings:
  description: One entry for each wanted setting that this kernel has.
  returned: success
  type: list
  elements: dict
  contains: &row
    name:
      description: The setting.
      type: str
      sample: vm.swappiness
    before:
      description: The live value before this run. Null where there is no kernel to ask, as in an image.
      type: str
      sample: "60"
    after:
      description: The wanted value.
      type: str
      sample: "10"
    live:
      description: The live value now. In check mode it is still the one before.
      type: str
      sample: "10"
    persisted:
      description: Whether the drop-in holds it and is read at boot. In check mode, whether it would be.
      type: bool
      sample: true
    overridden_by:
      description: File and line that give it another value at boot. Null when there is none.
      type: str
      sample: /etc/sysctl.d/99-local.conf:3
    effect:
      description: What the value does on this machine. Empty where nothing sure can be said.
      type: str
      sample: "no swap: swappiness has no effect on anonymous memory"
    diff:
      description: Live value before and after, empty where it does not change.
      type: dict
      sample: {before: "60", after: "10"}
transparent_hugepage:
  description: The same for each mode of transparent huge pages.
  returned: success
  type: list
  elements: dict
  contains: *row
restored:
  description: Settings that got back the value from before the first run.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The setting.
      type: str
      sample: vm.swappiness
    before:
      description: The live value before this run.
      type: str
      sample: "10"
    after:
      description: The value from before the first run.
      type: str
      sample: "60"
missing:
  description: Settings that this kernel does not have.
  returned: success
  type: list
  elements: str
  sample: [vm.zone_reclaim_mode]
files:
  description: The drop-ins that hold the settings, with the names they got through O(take_over).
  returned: success
  type: list
  elements: str
  sample: [/etc/sysctl.d/90-headroom.conf, /etc/tmpfiles.d/headroom-thp.conf]
live_written:
  description: False when live values could not be written and only files were (O(on_readonly=persist)).
  returned: success
  type: bool
  sample: true
msg:
  description: What was done, or what went wrong.
  returned: always
  type: str
  sample: 2 live values and 1 file changed.
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.tasks import sysctl_memory as task


def main() -> None:
    """Entry point."""
    task.work(AnsibleModule(argument_spec=task.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
