# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""images: a clear error for a picture that cannot fit, JPEG decoded at the size that is needed, and `thumbnail()`.

Cap. Pillow keeps four bytes a pixel, one in the modes 1, L and P, two in I;16. A picture whose pixels alone are more
than the container may use would end in a kill by the kernel; it ends in a DecompressionBombError that says so.
`pixels=N` sets a lower cap, the room of N pixels of four bytes; `pixels=0` sets none.

Draft (`draft=1`, off unless asked for). A JPEG can be decoded at a half, a quarter or an eighth of its size for a
fraction of the memory, which Pillow does by itself for `thumbnail()` and for nothing else. With this,
`Image.open(f).resize(size)` and `Image.open(f).convert("RGB").resize(size)` do it too where the decoded picture stays
at least twice as large as the result. The result has exactly the size that was asked for. Its **pixels are not the same
to the last bit** (the decoder's averaging comes before the filter; see the documentation for how little they differ),
and a damaged file is noticed by `resize` and not by `convert`: that is why it is off.

Code that may be changed calls `headroom_runtime.images.thumbnail(source, size)`.
"""

from __future__ import annotations

from headroom_runtime.activation import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

BYTES_A_PIXEL = 4
FEWER_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
"""Of the modes that Pillow keeps in less: ImagingNewPrologueSubtype in its Storage.c."""
NO_LIMIT = 1 << 60
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def cap_pixels(limit: int) -> int:
    """The pixels of four bytes that fit in a memory limit (bytes; 0 is no limit): 0 for no cap."""
    return limit // BYTES_A_PIXEL if 0 < limit < NO_LIMIT else 0


def memory_limit(files: tuple[str, ...] = LIMITS) -> int:
    """The container's memory limit in bytes, 0 where there is none."""
    for path in files:
        try:
            with open(path, "rb") as stream:
                text = stream.read().strip()
        except OSError:
            continue
        return int(text) if text.isdigit() else 0
    return 0


def cap(image_file: ModuleType, pixels: int, draft: bool) -> None:
    """Have `PIL.ImageFile` refuse to decode what is larger than the cap."""
    most = cap_pixels(memory_limit()) if pixels < 0 else pixels
    if not most:
        return
    original = image_file.ImageFile.load

    def load(self: Any) -> Any:
        size = self.size[0] * self.size[1] * FEWER_BYTES.get(self.mode, BYTES_A_PIXEL)
        if self.tile and size > most * BYTES_A_PIXEL:
            from PIL.Image import DecompressionBombError

            raise DecompressionBombError(
                f"the picture has {self.size[0]} x {self.size[1]} pixels, which take {size >> 20} MB; at most "
                f"{most * BYTES_A_PIXEL >> 20} MB are allowed here (feature images of headroom_runtime, option pixels)"
            )
        return original(self)

    load.__doc__ = original.__doc__
    image_file.ImageFile.load = load


def draft_before_load(plugin: ModuleType, pixels: int, draft: bool) -> None:
    """Have the JPEG images of `PIL.JpegImagePlugin` decoded at the size that is needed."""
    if not draft:
        return
    from headroom_runtime.unread_jpeg import unread_class

    kind = plugin.JpegImageFile
    unread = unread_class()
    convert, resize = kind.convert, kind.resize

    def lazy_convert(self: Any, *arguments: Any, **named: Any) -> Any:
        try:
            mode = named.get("mode", arguments[0] if arguments else None)
            if len(arguments) + len(named) == 1 and mode in ("RGB", "L") and unread.can_stand_for(self):
                return unread.of(self, mode)
        except Exception as error:
            say("images: a picture is converted as usual", error)
        return convert(self, *arguments, **named)

    def lazy_resize(self: Any, *arguments: Any, **named: Any) -> Any:
        try:
            if unread.can_stand_for(self):
                return unread.of(self, self.mode).resize(*arguments, **named)
        except OSError:
            raise
        except Exception as error:
            say("images: a picture is resized as usual", error)
        return resize(self, *arguments, **named)

    lazy_convert.__doc__, lazy_resize.__doc__ = convert.__doc__, resize.__doc__
    kind.convert, kind.resize = lazy_convert, lazy_resize


def thumbnail(source: Any, size: tuple[int, int], mode: str = "RGB") -> Any:
    """A picture that fits into `size` (width, height in pixels), with the lowest peak of memory for its format.

    `source` is a path, bytes or a binary stream. JPEG is decoded by Pillow at a fraction of its size. Other formats are
    read by pyvips, line by line, where that is installed, else by Pillow as a whole. The shape is kept, nothing is
    turned or enlarged. Returns a `PIL.Image.Image` of the mode. Raises what Pillow raises: OSError for no picture.
    """
    import io

    from PIL import Image

    from headroom_runtime.unread_jpeg import REDUCING_GAP

    stream = io.BytesIO(source) if isinstance(source, (bytes, bytearray)) else source
    with Image.open(stream) as image:
        if image.format not in ("JPEG", "MPO"):
            found = _with_vips(source, image.size, size, mode)
            if found is not None:
                return found
        image.thumbnail(size, Image.Resampling.LANCZOS, reducing_gap=REDUCING_GAP)
        return image.convert(mode) if image.mode != mode else image.copy()


def _with_vips(source: Any, old: tuple[int, int], size: tuple[int, int], mode: str) -> Any:
    """None where pyvips is missing, or does not know the format."""
    try:
        import pyvips
        from PIL import Image
    except (ImportError, OSError):
        return None
    try:
        named = {"height": size[1], "size": "down", "no_rotate": True}
        if isinstance(source, (bytes, bytearray)):
            found = pyvips.Image.thumbnail_buffer(bytes(source), size[0], **named)
        elif isinstance(source, str):
            found = pyvips.Image.thumbnail(source, size[0], **named)
        else:
            return None
        found = found.colourspace("srgb")
        kinds = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
        image = Image.frombytes(kinds[found.bands], (found.width, found.height), found.write_to_memory())
    except (pyvips.Error, KeyError, ValueError):
        return None
    return image.convert(mode) if image.mode != mode else image
