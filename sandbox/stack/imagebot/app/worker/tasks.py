# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

import logging
import os

import requests
from PIL import Image

from app.config import BOT_TOKEN
from app.db import Media, SessionLocal, init_db
from app.services import images, llm

logger = logging.getLogger(__name__)

API = f"https://api.telegram.org/bot{BOT_TOKEN}"
FILES = f"https://api.telegram.org/file/bot{BOT_TOKEN}"


def send_photo(chat_id, path, caption):
    with open(path, "rb") as photo:
        response = requests.post(
            f"{API}/sendPhoto", data={"chat_id": chat_id, "caption": caption[:1024]}, files={"photo": photo}
        )
    response.raise_for_status()


def send_text(chat_id, text):
    requests.post(f"{API}/sendMessage", json={"chat_id": chat_id, "text": text})


def remember(chat_id, prompt, path):
    init_db()
    with Image.open(path) as image:
        width, height = image.size
    with SessionLocal() as session:
        session.add(
            Media(chat_id=chat_id, prompt=prompt, path=path, width=width, height=height, size=os.path.getsize(path))
        )
        session.commit()


def generate_image(chat_id, prompt):
    try:
        full_prompt = llm.enhance_prompt(prompt)
        data = images.generate(full_prompt)
        paths = images.save_sizes(data, chat_id)
        remember(chat_id, prompt, paths["full"])
        if chat_id:
            send_photo(chat_id, paths["full"], prompt)
    except Exception:
        logger.exception("image for %s failed", chat_id)
        if chat_id:
            send_text(chat_id, "⚠️ Could not make the picture, please try again later")
        raise
    return paths["full"]


def resize_upload(chat_id, file_id):
    try:
        info = requests.get(f"{API}/getFile", params={"file_id": file_id}).json()
        response = requests.get(f"{FILES}/{info['result']['file_path']}")
        response.raise_for_status()
        paths = images.save_sizes(response.content, chat_id)
        remember(chat_id, "upload", paths["full"])
        send_photo(chat_id, paths["preview"], "Done: " + ", ".join(images.SIZES))
    except Exception:
        logger.exception("upload of %s failed", chat_id)
        send_text(chat_id, "⚠️ Could not process the picture")
        raise
    return paths["full"]
