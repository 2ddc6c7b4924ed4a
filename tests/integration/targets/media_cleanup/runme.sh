#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The module wants to see all processes. In a PID namespace of its own there is none that it may not look at.
set -eu

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec unshare --mount --pid --fork --mount-proc --propagation private -- \
  ansible-playbook -i localhost, -c local "$here/cleanup.yml" "$@"
