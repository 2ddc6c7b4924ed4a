# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A caching gateway for calls to language models, translation and image services.

Clients send to it what they would send to a provider; answers that are known come from Redis, everything else goes to
the provider unchanged. What may be kept, and for how long, is said by `policy.toml` and nowhere else.

What decides is a pure function over plain data (`policy`, `key`, `plan`, `answers`, `entry`, `items`, `images`,
`retry_after`); what acts (`server`, `upstream`, `redis_link`, `store`, `flight`, `gate`) is glued by `gateway`.
"""
