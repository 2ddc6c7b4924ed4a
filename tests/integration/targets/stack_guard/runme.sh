#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A real stack on the engine of this machine, and real faults in it.
set -eu

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${ANSIBLE_TEST_PYTHON_INTERPRETER:-$(command -v python || command -v python3)}
exec "$python" -m pytest -q -p no:cacheprovider --durations=5 "$here" "$@"
