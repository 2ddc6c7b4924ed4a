# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Property tests say what is true, not how fast this machine happens to be: time limits are left out of them.

The same examples each time, so that a failure is the change's and comes again; `--hypothesis-profile explore` draws new
ones.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

EVERYWHERE = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("explore", **EVERYWHERE)
settings.register_profile("any machine", derandomize=True, **EVERYWHERE)
settings.load_profile("any machine")
