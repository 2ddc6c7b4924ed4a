# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the report's data to its three texts. Everything that is put into the page is escaped."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.report import charts as report_charts
from ansible_collections.smallhost.headroom.plugins.module_utils.report.model import share

try:
    import jinja2
    import markupsafe
except ImportError:
    HAS_JINJA2 = False
    TemplateError: type[Exception] = RuntimeError
else:
    HAS_JINJA2 = True
    TemplateError = jinja2.TemplateError

MIB = 1024 * 1024
NOT_KNOWN = "–"
MINUS = "\u2212"


def size(value: float | None) -> str:
    """Bytes for people: MB, from 10 GB on GB; powers of 1024 as `docker stats` counts them."""
    if value is None:
        return NOT_KNOWN
    if abs(value) >= 10 * 1024 * MIB:
        return f"{value / 1024 / MIB:.1f} GB"
    return f"{value / MIB:.1f} MB" if 0 < abs(value) < 10 * MIB else f"{value / MIB:.0f} MB"


def percent(value: float | None) -> str:
    """A share for people."""
    return NOT_KNOWN if value is None else f"{value:.0f} %"


def difference(value: float | None) -> str:
    """A change in percent, with its sign."""
    if value is None:
        return NOT_KNOWN
    rounded = round(value)
    sign = "+" if rounded > 0 else MINUS if rounded < 0 else "±"
    return f"{sign}{abs(rounded)} %"


def duration(seconds: float | None) -> str:
    """A length of time in its two largest units."""
    if seconds is None:
        return NOT_KNOWN
    parts: list[str] = []
    left = round(seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        amount, left = divmod(left, length)
        if amount or (unit == "s" and not parts):
            parts.append(f"{amount} {unit}")
    return " ".join(parts[:2])


def figure(value: float | None, unit: str) -> str:
    """A measured figure in its unit: bytes, ms, or a plain count."""
    if value is None:
        return NOT_KNOWN
    if unit == "bytes":
        return size(value)
    return f"{value:.0f} ms" if unit == "ms" else f"{value:g}"


def turn(row: Mapping[str, Any]) -> str:
    """What became of a row's figure: in percent where it is a size or a time, else by how many."""
    if row["unit"] != "count" or row["before"] is None or row["after"] is None:
        return difference(row["change_percent"])
    more = row["after"] - row["before"]
    return f"{'+' if more > 0 else MINUS if more < 0 else '±'}{abs(more):g}"


def moment(text: str | None) -> str:
    """ISO 8601 for people: still ISO, with a space and without seconds."""
    return NOT_KNOWN if text is None else f"{text[:10]} {text[11:16]} UTC"


def plain_markdown(value: Any) -> str:
    """Text that Markdown takes for nothing but text, within a table too."""
    text = re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", str(value))
    return re.sub(r"\s+", " ", text)


FILTERS = {
    "size": size,
    "percent": percent,
    "difference": difference,
    "duration": duration,
    "figure": figure,
    "turn": turn,
    "moment": moment,
    "share": share,
}


def drawings(model: Mapping[str, Any]) -> dict[str, Any]:
    """The plots by name, each as SVG that holds the words for it too; empty without pygal, or without data."""
    found: dict[str, Any] = {"stages": "", "containers": "", "curves": {}}
    if not report_charts.HAS_PYGAL:
        return found
    for curve in model["curves"]:
        highest = max(point[1] for point in curve["points"])
        alt = f"{curve['service']}: at most {size(highest)} in use between {curve['from']} and {curve['to']}"
        alt += f", limit {size(curve['limit'])}" if curve["limit"] else ", without a limit"
        found["curves"][curve["service"]] = markupsafe.Markup(report_charts.over_time(curve, alt))
    running = [row for row in model["containers"] if row["in_use"] is not None]
    if running:
        words = "; ".join(f"{row['service']} {size(row['in_use'])} of {size(row['limit'])}" for row in running)
        found["containers"] = markupsafe.Markup(report_charts.against_limit(running, f"In use, of the limit: {words}"))
    rows = stage_bars(model)
    if rows:
        words = "; ".join(f"{row['label']} {size(row['before'])}, then {size(row['after'])}" for row in rows)
        found["stages"] = markupsafe.Markup(report_charts.before_after(rows, f"Before and after: {words}"))
    return found


def stage_bars(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The containers' working set before and after the latest lasting run of each stage; nothing if not measured."""
    latest: dict[str, dict[str, Any]] = {}
    for stage in model["stages"]:
        for row in stage["figures"]:
            if row["label"].startswith("Working set") and row["before"] is not None and row["after"] is not None:
                label = stage["title"].partition(":")[0]
                if stage["applied"] and stage["outcome"] in ("passed", "inconclusive"):
                    latest[label] = {"label": label, "before": row["before"], "after": row["after"]}
                else:
                    latest.pop(label, None)
    return [latest[label] for label in sorted(latest)]


def as_json(model: Mapping[str, Any]) -> str:
    """The report for programs."""
    return json.dumps(model, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def render(model: Mapping[str, Any], templates: str) -> dict[str, str]:
    """Suffix -> text of the report as `html`, `md` and `json`. `templates` is the folder with the two templates.

    Raises jinja2.TemplateError where a template does not fit the data.
    """

    def environment(escape: bool, finalize: Any) -> Any:
        # S701 does not apply to the second one: Markdown has its own way to escape, which `finalize` applies.
        made = jinja2.Environment(
            loader=jinja2.FileSystemLoader(os.fspath(templates)),
            undefined=jinja2.StrictUndefined,
            autoescape=escape,
            finalize=finalize,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        made.filters.update(FILTERS)
        made.filters["code"] = code
        return made

    def markdown(value: Any) -> Any:
        return value if isinstance(value, markupsafe.Markup) else plain_markdown(value)

    plots = drawings(model)
    html = environment(True, None).get_template("report.html.j2").render(report=model, plots=plots)
    text = environment(False, markdown).get_template("report.md.j2").render(report=model)
    text = re.sub(r"\n{3,}", "\n\n", text)
    return {"html": html, "md": text.rstrip("\n") + "\n", "json": as_json(model)}


def code(value: Any) -> Any:
    """Text as code in Markdown: nothing in it has a meaning, not even a backtick."""
    text = re.sub(r"\s+", " ", str(value))
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if "`" in text else ""
    return markupsafe.Markup(f"{fence}{pad}{text}{pad}{fence}")
