# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pictures: a cap with a clear error, results of exactly the size asked for, and a thumbnail that fits."""

from __future__ import annotations

import io

import pytest
from headroom_runtime.images import cap_pixels, memory_limit, thumbnail
from headroom_runtime.unread_jpeg import draft_scale

PICTURE = """
    import io
    from PIL import Image
    def picture(size=(1200, 900), mode="RGB", kind="JPEG", **named):
        image = Image.linear_gradient("L").resize(size).convert(mode)
        stream = io.BytesIO()
        image.save(stream, kind, **named)
        return stream
"""


@pytest.mark.parametrize(
    ("width", "height", "size", "scale"),
    [
        (4000, 3000, (800, 600), 2),
        (4000, 3000, (250, 187), 8),
        (4000, 3000, (500, 375), 4),
        (4000, 3000, (1001, 750), 1),
        (4000, 3000, (100, 700), 2),
        (4000, 3000, (100, 1501), 1),
        (100, 100, (0, 10), 1),
    ],
)
def test_how_much_smaller_a_jpeg_may_be_decoded(width, height, size, scale):
    assert draft_scale(width, height, size) == scale


def test_the_cap_is_what_fits_into_the_limit(tmp_path):
    (tmp_path / "max").write_text("209715200\n")
    (tmp_path / "unlimited").write_text("max\n")
    assert memory_limit((str(tmp_path / "none"), str(tmp_path / "max"))) == 209715200
    assert memory_limit((str(tmp_path / "unlimited"),)) == 0
    assert [cap_pixels(limit) for limit in (209715200, 0, 9223372036854771712)] == [52428800, 0, 0]


def test_a_picture_above_the_cap_says_so(application):
    pytest.importorskip("PIL")
    said, errors = application(
        "images:pixels=1000000",
        PICTURE
        + """
    try:
        Image.open(picture()).convert("L")
    except Image.DecompressionBombError as error:
        print(error)
    image = Image.open(picture()); image.thumbnail((200, 200)); print(image.size)
    image = Image.open(picture((900, 900))); image.load(); print(image.size)
    """,
    )
    first, *rest = said.splitlines()
    assert first.startswith("the picture has 1200 x 900 pixels, which take 4 MB; at most 3 MB are allowed here")
    assert rest == ["(200, 150)", "(900, 900)"]
    assert errors == ""


@pytest.mark.parametrize(
    ("mode", "bytes_a_pixel"), [("1", 1), ("L", 1), ("P", 1), ("I;16", 2), ("LA", 4), ("RGB", 4), ("RGBA", 4)]
)
def test_a_picture_takes_what_its_mode_takes(application, mode, bytes_a_pixel):
    pytest.importorskip("PIL")
    said, errors = application(
        "images:pixels=10000",
        f"""
    import io
    from PIL import Image
    for rows in (100 * 4 // {bytes_a_pixel}, 100 * 4 // {bytes_a_pixel} + 1):
        stream = io.BytesIO()
        Image.new({mode!r}, (100, rows)).save(stream, "PNG")
        image = Image.open(stream)
        try:
            image.load()
            print(image.mode)
        except Image.DecompressionBombError:
            print("refused")
    """,
    )
    assert (said.splitlines(), errors) == ([mode, "refused"], "")


OPERATIONS = """
    import copy, pickle
    def saved(image):
        stream = io.BytesIO()
        image.save(stream, "PNG")
        return Image.open(stream)
    RESIZED = [
        ("resize", lambda image: image.resize((300, 200))),
        ("resize a little", lambda image: image.resize((900, 700))),
        ("convert and resize", lambda image: image.convert("RGB").resize((123, 77), Image.LANCZOS)),
        ("to grey", lambda image: image.convert("L").resize((100, 75), Image.BICUBIC)),
        ("nearest", lambda image: image.convert("RGB").resize((100, 75), Image.NEAREST)),
        ("box", lambda image: image.resize((100, 75), box=(10, 10, 500, 400))),
        ("gap", lambda image: image.convert("RGB").resize((50, 40), reducing_gap=3.0)),
        ("thumbnail", lambda image: (lambda one: (one.thumbnail((200, 200)), one)[1])(image.convert("RGB"))),
    ]
    OTHERS = [
        ("convert", lambda image: image.convert("RGB")),
        ("crop", lambda image: image.convert("RGB").crop((5, 5, 50, 60))),
        ("rotate", lambda image: image.convert("L").rotate(90)),
        ("copy", lambda image: image.convert("RGB").copy()),
        ("pixel", lambda image: (lambda one: (one.putpixel((1, 1), (1, 2, 3)), one)[1])(image.convert("RGB"))),
        ("twice", lambda image: (lambda one: (one.resize((50, 50)), one)[1])(image.convert("RGB"))),
        ("saved", lambda image: saved(image.convert("RGB"))),
        ("pickled", lambda image: pickle.loads(pickle.dumps(image.convert("RGB")))),
        ("copied deeply", lambda image: copy.deepcopy(image.convert("RGB"))),
        ("to CMYK", lambda image: image.convert("CMYK")),
        ("ratio", lambda image: (lambda one: one.resize((int(one.width * 0.999), one.height)))(image.convert("RGB"))),
    ]
"""


def test_draft_gives_the_same_size_and_nearly_the_same_picture(application, tmp_path):
    pytest.importorskip("PIL")
    code = (
        PICTURE
        + OPERATIONS
        + """
    import sys
    found = {}
    for mode in ("RGB", "L"):
        for progressive in (False, True):
            for group, operations in (("resized", RESIZED), ("others", OTHERS)):
                for name, operation in operations:
                    if mode == "L" and name == "pixel":
                        continue
                    image = operation(Image.open(picture(mode=mode, progressive=progressive)))
                    image.load()
                    seen = (image.mode, image.size, image.tobytes(), type(image).__name__, sorted(image.info))
                    found[group, mode, progressive, name] = seen
    pickle.dump(found, open(sys.argv[0] + ".result", "wb"))
    """
    )
    import pickle

    results = []
    for features in ("", "images:draft=1"):
        _said, errors = application(features, code)
        assert errors == ""
        results.append(pickle.loads((tmp_path / "application.py.result").read_bytes()))
    without, with_runtime = results
    assert without.keys() == with_runtime.keys()
    for key, (mode, size, data, kind, info) in without.items():
        assert (mode, size) == with_runtime[key][:2], key
        if key[0] == "others":
            assert (data, kind, info) == with_runtime[key][2:], key
        else:
            mean = sum(abs(a - b) for a, b in zip(data, with_runtime[key][2])) / len(data)
            assert mean < 1.0, (key, mean)


def test_threads_may_share_a_picture_that_is_not_decoded(application):
    pytest.importorskip("PIL")
    said, errors = application(
        "images:draft=1",
        PICTURE
        + """
    import threading
    steps = [lambda image: image.crop((0, 0, 9, 9)), lambda image: image.resize((300, 200)), lambda image: image.load()]
    def work(step, image, together):
        together.wait()
        step(image)
        print("done")
    for _ in range(5):
        image, together = Image.open(picture()).convert("RGB"), threading.Barrier(6)
        threads = [threading.Thread(target=work, args=(step, image, together)) for step in steps * 2]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    """,
    )
    assert (said.count("done"), errors) == (30, "")


def test_a_file_may_go_away_after_convert(application):
    pytest.importorskip("PIL")
    said, _unused = application(
        "images:draft=1",
        PICTURE
        + """
    stream = picture()
    with Image.open(stream) as image:
        converted = image.convert("RGB")
    stream.close()
    usual = Image.open(picture()).getpixel((5, 5))
    print(converted.resize((10, 10)).size, converted.size, converted.getpixel((5, 5)) == usual)
    open("x.jpg", "wb").write(picture().getvalue())
    with open("x.jpg", "rb") as stream:
        image = Image.open(stream).convert("RGB")
    open("x.jpg", "wb").write(b"")
    print(image.resize((10, 10)).size, image.tobytes()[:3])
    """,
    )
    assert said.splitlines() == ["(10, 10) (1200, 900) True", "(10, 10) b'\\x00\\x00\\x00'"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_thumbnail_fits(kind):
    pil = pytest.importorskip("PIL.Image")
    stream = io.BytesIO()
    pil.linear_gradient("L").resize((1200, 900)).save(stream, kind)
    for source in (stream.getvalue(), stream):
        stream.seek(0)
        image = thumbnail(source, (300, 300))
        assert (image.mode, image.size) == ("RGB", (300, 225))
    assert thumbnail(stream.getvalue(), (5000, 5000)).size == (1200, 900)


def test_a_thumbnail_of_no_picture_is_an_error():
    pytest.importorskip("PIL")
    with pytest.raises(OSError, match="cannot identify"):
        thumbnail(b"nothing", (10, 10))
