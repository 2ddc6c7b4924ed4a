# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

import logging
import os

from dotenv import load_dotenv

load_dotenv()

BOT_TOKEN = os.environ["BOT_TOKEN"]
OPENAI_API_KEY = os.environ["OPENAI_API_KEY"]
OPENAI_MODEL = os.getenv("OPENAI_MODEL", "gpt-4o-mini")
DEEPL_API_KEY = os.environ["DEEPL_API_KEY"]
FAL_MODEL = os.getenv("FAL_MODEL", "fal-ai/flux/schnell")
# the same prompt gives the same picture; empty = a new one every time
FAL_SEED = os.getenv("FAL_SEED", "")

REDIS_URL = os.getenv("REDIS_URL", "redis://redis:6379/0")
DATABASE_URL = os.getenv("DATABASE_URL", "sqlite:////app/data/bot.db")
MEDIA_DIR = os.getenv("MEDIA_DIR", "/app/media")
LOG_DIR = os.getenv("LOG_DIR", "/app/logs")
QUEUE_NAME = os.getenv("QUEUE_NAME", "img_queue")


def setup_logging(name):
    os.makedirs(LOG_DIR, exist_ok=True)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=[logging.StreamHandler(), logging.FileHandler(f"{LOG_DIR}/{name}.log")],
    )
