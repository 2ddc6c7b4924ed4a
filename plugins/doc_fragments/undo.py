# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Options of every module that changes something. The twin of `UNDO_ARGUMENT_SPEC` in journal.py."""

    DOCUMENTATION = r"""
options:
  state:
    description:
      - With V(present) the wanted values are set; the first previous value of each is kept in the undo journal.
      - With V(absent) all that was changed under the same O(undo_key) is put back as it was before the first run.
    type: str
    choices: [present, absent]
    default: present
  undo_key:
    description:
      - What is changed under one key is undone together.
      - Defaults to the module's name.
    type: str
  state_dir:
    description:
      - Folder of the undo journals on the target. Each Compose project has a folder of its own in it.
    type: path
    default: /var/lib/headroom
  lock_timeout:
    description:
      - How many seconds to wait while another run changes the same project.
    type: int
    default: 30
"""
