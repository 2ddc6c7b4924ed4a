# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What we remember about every user, lives until the next restart."""

import time

SESSIONS = {}
MAX_HISTORY = 20


class Session:
    def __init__(self, chat_id):
        self.chat_id = chat_id
        self.history = []
        self.prompts = []
        self.last_seen = time.time()

    def add(self, role, text):
        self.history.append({"role": role, "content": text})
        self.history = self.history[-MAX_HISTORY:]
        self.last_seen = time.time()


def get_session(chat_id):
    if chat_id not in SESSIONS:
        SESSIONS[chat_id] = Session(chat_id)
    return SESSIONS[chat_id]
