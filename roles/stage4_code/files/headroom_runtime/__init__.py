# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Features that make a Python application smaller without a change to its code.

`import headroom_runtime` reads the environment variable HEADROOM_RUNTIME and switches on what it names:

    HEADROOM_RUNTIME=lazy-models,release-memory:idle=20,http

a comma between features, a colon before each option of a feature. What the features do and which options they take
stands in the docstring of the module that `features.py` names for each. Nothing is imported that the application does
not import: a feature acts when the library that it is about has been imported. What goes wrong here costs one line on
standard error and leaves the application as it is.
"""

from __future__ import annotations

from headroom_runtime import activation

VARIABLE = "HEADROOM_RUNTIME"

activation.activate_from_environment(VARIABLE)
