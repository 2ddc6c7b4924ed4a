# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

import io
import os
import time

import fal_client
import httpx
from PIL import Image

from app.config import FAL_MODEL, FAL_SEED, MEDIA_DIR

SIZES = {"full": 1024, "preview": 512, "thumb": 128}


def generate(prompt):
    """Ask Fal for a picture and return its bytes."""
    arguments = {"prompt": prompt, "image_size": "landscape_4_3", "num_images": 1}
    if FAL_SEED:
        arguments["seed"] = int(FAL_SEED)
    handle = fal_client.submit(FAL_MODEL, arguments=arguments)
    result = handle.get()
    url = result["images"][0]["url"]
    # TODO: sometimes hangs?
    response = httpx.get(url, timeout=None)
    response.raise_for_status()
    return response.content


def save_sizes(data, chat_id):
    """Store a picture in all sizes, return {name: path}."""
    folder = os.path.join(MEDIA_DIR, str(chat_id))
    os.makedirs(folder, exist_ok=True)
    stamp = time.time_ns()
    paths = {}
    for name, side in SIZES.items():
        image = Image.open(io.BytesIO(data))
        image = image.convert("RGB")
        ratio = min(side / image.width, side / image.height, 1)
        image = image.resize((int(image.width * ratio), int(image.height * ratio)), Image.LANCZOS)
        path = os.path.join(folder, f"{stamp}_{name}.jpg")
        image.save(path, "JPEG", quality=90)
        paths[name] = path
    # keep the original, we may need it later
    original = os.path.join(folder, f"{stamp}_original.jpg")
    with open(original, "wb") as f:
        f.write(data)
    paths["original"] = original
    return paths
