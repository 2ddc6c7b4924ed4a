# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A JPEG that has been opened, and perhaps converted, and not been decoded yet: part of `images`."""

from __future__ import annotations

import io
from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REDUCING_GAP = 2.0
"""The decoded picture is at least this much larger than the result, each way: Pillow's own default for `thumbnail`."""


def draft_scale(width: int, height: int, size: tuple[int, int], gap: float = REDUCING_GAP) -> int:
    """By how much a JPEG may be decoded smaller for a result of this size: 1 (not at all), 2, 4 or 8."""
    if min(size) < 1:
        return 1
    room = min(width / (size[0] * gap), height / (size[1] * gap))
    return next((scale for scale in (8, 4, 2) if room >= scale), 1)


def unread_class() -> Any:
    """The class, made when Pillow has been imported."""
    import PIL.Image

    Image: Any = PIL.Image

    class UnreadJpeg(Image.Image):  # type: ignore[misc]
        """Becomes an ordinary `Image.Image` as soon as anything but `resize` and `thumbnail` wants its pixels.

        It holds the file's bytes, so that it does not matter what becomes of the file or of the image it came from.
        Threads may share it, as they may an ordinary one: each step asks, under the lock, whether another has done it.
        """

        _file: bytes
        _lock: RLock

        @staticmethod
        def can_stand_for(image: Any) -> bool:
            """Whether nothing has been decoded or drafted, and the colours need no more than a plain conversion."""
            return (
                image.format == "JPEG"
                and len(image.tile) == 1
                and not image.decoderconfig
                and image.mode in ("RGB", "L")
                and getattr(image, "_im", None) is None
            )

        @classmethod
        def of(cls, image: Any, mode: str) -> Any:
            """The image in this mode, its file read and its position put back."""
            made = cls()
            made._file, made._lock = _content(image.fp), RLock()
            made._size = image.size
            if hasattr(made, "_mode"):
                made._mode = mode
            else:
                made.mode = mode  # Pillow before 10.1
            made.info = image.info.copy()
            return made

        def load(self) -> Any:
            """Decode the whole picture."""
            with self._lock:
                if self.__class__ is UnreadJpeg:
                    self._become(self._open(None))
            return self.load()

        def __reduce_ex__(self, protocol: Any) -> Any:
            """Pickle and copy what it becomes."""
            self.load()
            return self.__reduce_ex__(protocol)

        def resize(self, size: Any, resample: Any = None, box: Any = None, reducing_gap: Any = None) -> Any:
            """As `Image.resize`; what is decoded may be smaller than the picture is."""
            size = tuple(size)
            with self._lock:
                smaller = box is None and resample != Image.NEAREST and draft_scale(*self.size, size) > 1
                smaller = smaller and self.__class__ is UnreadJpeg
                if smaller:
                    opened, region = self._open(size)
            if not smaller:
                self.load()
                return self.resize(size, resample, box, reducing_gap)
            resized = opened.resize(size, resample, box=region, reducing_gap=reducing_gap)
            resized.info = self.info.copy()
            return resized

        def thumbnail(self, size: Any, resample: Any = Image.BICUBIC, reducing_gap: Any = 2.0) -> None:
            """As `Image.thumbnail`."""
            with self._lock:
                if reducing_gap is not None and self.__class__ is UnreadJpeg:
                    opened = Image.open(io.BytesIO(self._file))
                    opened.thumbnail(size, resample, reducing_gap)
                    self._become(opened if opened.mode == self.mode else opened.convert(self.mode))
                    return
            self.load()
            self.thumbnail(size, resample, reducing_gap)

        def _open(self, size: Any) -> Any:
            """The picture, decoded, in the mode: whole, or with the region of it that is the picture."""
            opened: Any = Image.open(io.BytesIO(self._file))
            region = None
            if size is not None:
                drafted = opened.draft(None, (size[0] * 2, size[1] * 2))
                region = drafted[1] if drafted else (0, 0, *opened.size)
            opened.load()
            converted = opened if opened.mode == self.mode else Image.Image.convert(opened, self.mode)
            return converted if size is None else (converted, region)

        def _become(self, image: Any) -> None:
            image.load()
            self.im = image.im
            self._size = image.size
            self.__class__ = Image.Image  # type: ignore[assignment]
            del self._file

    return UnreadJpeg


def _content(stream: Any) -> bytes:
    if stream.__class__ is io.BytesIO:
        return stream.getvalue()  # The bytes that it was made of: no copy.
    position = stream.tell()
    try:
        stream.seek(0)
        return bytes(stream.read())
    finally:
        stream.seek(position)
