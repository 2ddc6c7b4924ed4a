# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report's plots, as SVG to be put into the page.

Drawn by pygal (LGPL-3.0-or-later): pure Python with one small dependency, released every year since 2012, and made
for SVG, so that shapes carry class names and take the page's own colours. matplotlib is the better known one, but it
brings NumPy along, about 100 MB on the controller, and writes colours into each shape, which a page with a light and a
dark scheme cannot have. pygal is optional: without it the page has its tables only.

What pygal adds for its own viewer (a script, a style sheet, the date of drawing) is taken out: the page runs no script,
has one style sheet, and is the same for the same data.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

try:
    import pygal
    from pygal.etree import etree
except ImportError:
    HAS_PYGAL = False
else:
    HAS_PYGAL = True

MIB = 1024 * 1024

# About as wide as the column of a phone, so that letters are as large as they were meant to be.
WIDTH, HEIGHT = 340, 170
LETTERS = 11

# pygal's letters are about 0.6 em wide; names beyond this would leave no room for the bars.
NAME_LETTERS = 16


def _options(alt: str, **more: Any) -> dict[str, Any]:
    style = pygal.style.Style(label_font_size=LETTERS, major_label_font_size=LETTERS, value_font_size=LETTERS)
    return {
        "style": style,
        "width": WIDTH,
        "height": HEIGHT,
        "margin": 4,
        "show_legend": False,
        "show_x_guides": False,
        "js": [],
        "no_prefix": True,
        "disable_xml_declaration": True,
        "no_data_text": alt,
        **more,
    }


def _svg(chart: Any, alt: str) -> str:
    """The drawing without pygal's script, style and comments, named for those who cannot see it."""
    etree.to_etree()  # The standard library's, whatever else is installed: one serialisation everywhere.
    root = chart.render_tree()
    for parent in list(root.iter()):
        for child in list(parent):
            if not isinstance(child.tag, str) or child.tag.rpartition("}")[2] in ("script", "style", "desc"):
                parent.remove(child)
    root.attrib.pop("id", None)
    root.set("role", "img")
    root.set("aria-label", alt)
    return etree.tostring(root, encoding="unicode").replace("\n", "")


def nice_top(largest: float) -> float:
    """The end of an axis in MB that holds `largest`: 1, 2, 2.5 or 5 times a power of ten, and its halves are whole."""
    size = 1.0
    while True:
        for factor in (1, 2, 3, 4, 5, 6, 8):
            if largest <= size * factor:
                return size * factor
        size *= 10


def _clock(start: float, end: float) -> Any:
    """How a moment is written under an axis: by the hour within two days, else by the day."""
    form = "%H:%M" if end - start <= 2 * 86400 else "%d %b"
    return lambda seconds: datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime(form)


def over_time(curve: Mapping[str, Any], alt: str) -> str:
    """Memory of one service over time in MB, with its limit as a dashed line."""
    points = curve["points"]
    start, end = points[0][0], points[-1][0] + curve["step"]
    used = [(time, round(value / MIB, 1)) for time, value, _limit in points]
    limits = [(time, round(limit / MIB, 1)) for time, _value, limit in points if limit]
    # A step lasts; so does its limit.
    used.append((end, used[-1][1]))
    if limits and points[-1][2]:
        limits.append((end, limits[-1][1]))
    top = nice_top(max(value for _time, value in [*used, *limits]) * 1.02)
    chart = pygal.XY(
        **_options(
            alt,
            show_dots=False,
            range=(0, top),
            xrange=(start, end),
            x_value_formatter=_clock(start, end),
            value_formatter=lambda value: f"{value:g} MB",
        )
    )
    chart.uuid = curve["service"]
    chart.x_labels = [start, (start + end) / 2, end]
    chart.y_labels = [0, top / 2, top]
    # Twice: pygal draws a line around all of an area, also where it stands on the axis. The style sheet hides that one.
    chart.add("area", used, fill=True)
    chart.add("in use", used)
    chart.add("limit", limits, stroke_style={"dasharray": "5, 4"})
    return _svg(chart, alt)


def short(name: str) -> str:
    """A name that fits beside its bar."""
    return name if len(name) <= NAME_LETTERS else name[: NAME_LETTERS - 1] + "…"


def against_limit(rows: Sequence[Mapping[str, Any]], alt: str) -> str:
    """For each container what it uses and what its limit leaves it, in MB, as one bar."""
    listed = list(reversed([row for row in rows if row["in_use"] is not None]))
    return _bars(
        alt,
        [short(row["service"]) for row in listed],
        {
            "in use": [round(row["in_use"] / MIB) for row in listed],
            "left to the limit": [round(max(0, row["left"] or 0) / MIB) for row in listed],
        },
    )


def before_after(rows: Sequence[Mapping[str, Any]], alt: str) -> str:
    """The working set of all containers before and after each stage, in MB; `rows` hold label, before, after."""
    listed = list(reversed(rows))
    chart = pygal.HorizontalBar(
        **_options(
            alt,
            height=44 + 48 * len(listed),
            print_values=True,
            print_values_position="top",
            show_y_guides=False,
            spacing=14,
            value_formatter=lambda value: f"{value:g} MB",
        )
    )
    largest = max(max(row["before"], row["after"]) for row in listed) / MIB
    chart.range = (0, nice_top(largest * 1.25))
    chart.y_labels = [0, chart.range[1] / 2, chart.range[1]]
    chart.x_labels = [short(row["label"]) for row in listed]
    chart.add("before", [round(row["before"] / MIB) for row in listed])
    chart.add("after", [round(row["after"] / MIB) for row in listed])
    return _svg(chart, alt)


def _bars(alt: str, labels: list[str], series: Mapping[str, list[int]]) -> str:
    chart = pygal.HorizontalStackedBar(
        **_options(
            alt,
            height=50 + 30 * len(labels),
            show_y_guides=True,
            spacing=8,
            value_formatter=lambda value: f"{value:g} MB",
        )
    )
    largest = max(sum(values) for values in zip(*series.values()))
    chart.range = (0, nice_top(largest))
    chart.y_labels = [0, chart.range[1] / 2, chart.range[1]]
    chart.x_labels = labels
    for title, values in series.items():
        chart.add(title, values)
    return _svg(chart, alt)
