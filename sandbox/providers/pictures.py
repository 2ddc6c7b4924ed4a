# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pictures of the image service and of the users' cameras, made from a name so that equal names give equal bytes."""

from __future__ import annotations

import functools
import io
import random

from PIL import Image

SIZES = {
    "square": (512, 512),
    "square_hd": (1024, 1024),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
CAMERA = (4000, 3000)
CAMERA_PICTURES = 8


@functools.lru_cache(maxsize=4)
def _grain(width: int, height: int) -> Image.Image:
    # One tile repeated: real noise over the whole picture would make files larger than a camera's.
    tile = Image.frombytes("L", (128, 128), random.Random("grain").randbytes(128 * 128))
    grain = Image.new("L", (width, height))
    for x in range(0, width, 128):
        for y in range(0, height, 128):
            grain.paste(tile, (x, y))
    return grain


def _paint(name: str, width: int, height: int, quality: int) -> bytes:
    chance = random.Random(name)
    small = Image.frombytes("RGB", (12, 9), chance.randbytes(12 * 9 * 3))
    picture = small.resize((width, height), Image.Resampling.BICUBIC)
    grain = _grain(width, height)
    picture = Image.blend(picture, Image.merge("RGB", (grain, grain, grain)), 0.12)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


@functools.lru_cache(maxsize=128)
def generated(name: str, width: int, height: int) -> bytes:
    """Return the JPEG that the image service makes for `name` (model, prompt and seed)."""
    return _paint(name, width, height, quality=88)


@functools.lru_cache(maxsize=CAMERA_PICTURES)
def camera(number: int) -> bytes:
    """Return one of a few JPEGs of 12 megapixels, as a phone takes them."""
    return _paint(f"camera {number % CAMERA_PICTURES}", *CAMERA, quality=85)
