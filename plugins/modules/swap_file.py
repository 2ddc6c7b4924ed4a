#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swap_file
short_description: Give a host without swap a swap file, now and at each boot
version_added: 0.1.0
author:
  - Headroom authors (@smallhost)
description:
  - Makes a swap file where the host has no swap at all, takes it into use, and writes the unit of systemd that does so
    at boot. A host that has swap of any kind keeps what it has.
  - A host that is itself a container cannot have swap of its own. That is said in RV(reason), and is no failure.
  - A container whose limit of memory and swap equals its memory limit does not swap. There the file is for everything
    outside of containers.
extends_documentation_fragment:
  - smallhost.headroom.undo
attributes:
  check_mode:
    support: full
    description: Says whether a file would be made, and makes none.
  diff_mode:
    support: none
    description: There is no text to compare.
  idempotent:
    support: full
    description: A second run changes nothing.
options:
  path:
    description:
      - The file to make. One that exists is never touched.
      - Once it is made it stays there, whatever this says later. To move it, take it away with O(state=absent) first.
    type: path
    default: /swapfile.headroom
  size:
    description:
      - Its size, as V(1G). V(auto) is half of the memory, at least 256 MiB and at most 2 GiB.
      - A file that would leave less than 10% of its disk free is refused. One that is in use keeps its size.
    type: str
    default: auto
notes:
  - The undo journal is that of the scope C(_host) under O(state_dir).
  - With O(state=absent) the file goes, if what it holds fits into memory again. If it does not, nothing is changed.
seealso:
  - module: smallhost.headroom.sysctl_memory
"""

EXAMPLES = r"""
- name: Swap, where there is none
  smallhost.headroom.swap_file:

- name: Take it away again
  smallhost.headroom.swap_file:
    state: absent
"""

RETURN = r"""
areas:
  description: All swap in use afterwards, as C(/proc/swaps) has it. Sizes in bytes.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: File or device.
      type: str
      sample: /swapfile.headroom
    type:
      description: V(file) or V(partition).
      type: str
      sample: file
    size:
      description: Its size.
      type: int
      sample: 1520435200
    used:
      description: How much of it is in use.
      type: int
      sample: 0
total:
  description: Bytes of all of them.
  returned: success
  type: int
  sample: 1520435200
used:
  description: Bytes in use.
  returned: success
  type: int
  sample: 0
reason:
  description: Why nothing was made; empty where the file is ours.
  returned: success
  type: str
  sample: "there is swap already: /dev/vda2."
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.smallhost.headroom.plugins.module_utils.tasks import swap_file as task


def main() -> None:
    """Entry point."""
    task.work(AnsibleModule(argument_spec=task.ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
