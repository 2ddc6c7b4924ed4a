# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reference stack: an application as people write it, and how it gets onto a small host.

`imagebot/` is the application: it knows nothing of this collection. `base/` holds what stands for the public images
that it builds on, made of Debian packages: no registry is asked.
"""

from __future__ import annotations

TARGET = "/opt/imagebot"
"""Where the application lies on the small host; its compose file is in `deploy/` there."""
COMPOSE_FILE = "docker-compose.prod.yml"
SERVICES = ("redis", "bot", "api", "worker-image")
API_PORT = 8000
