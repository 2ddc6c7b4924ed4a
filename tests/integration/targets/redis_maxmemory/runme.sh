#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Real servers of every version that this machine can have; containers where an engine answers.
set -eu

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${ANSIBLE_TEST_PYTHON_INTERPRETER:-$(command -v python || command -v python3)}
exec "$python" -m pytest -q -p no:cacheprovider --durations=5 "$here" "$@"
