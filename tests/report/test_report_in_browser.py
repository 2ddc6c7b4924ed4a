# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as a browser shows it: a phone and a desk, in the light and in the dark.

Needs Chromium (on Debian: apt-get install chromium) and pygal. With HEADROOM_REPORT_PICTURES set to a folder, what was
seen is kept there.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("pygal", reason="the plots need pygal (pip install pygal)")
from ansible_collections.smallhost.headroom.plugins.module_utils.report import model as report_model
from ansible_collections.smallhost.headroom.plugins.module_utils.report import page as report_page

sys.path.insert(0, str(Path(__file__).parent))
import browser

pytestmark = pytest.mark.skipif(browser.program() is None, reason="Chromium is missing (apt-get install chromium)")

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests/unit/plugins/module_utils/report/report_data/smallhost.json"

SCREENS = [(width, scheme) for width in (360, 1280) for scheme in ("light", "dark")]

# Elements that reach past the screen, and boxes that one would have to scroll sideways.
TOO_WIDE = """
[...document.querySelectorAll('body *')].filter(one => {
  const box = one.getBoundingClientRect();
  return box.width && (box.right > innerWidth + 0.5 || box.left < -0.5 || one instanceof HTMLElement && one.clientWidth
    && one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display != 'inline');
}).map(one => one.outerHTML.slice(0, 160))
"""

# Text with less contrast to what is behind it than WCAG 2.2 asks for (1.4.3, level AA: 4.5 to 1), as [ratio, text].
TOO_FAINT = """
(() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = text => rgb(text).slice(0, 3).map(part => part / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = one => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (rgb(colour)[3] !== 0) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const found = [];
  for (const one of document.querySelectorAll('body *')) {
    const text = [...one.childNodes].filter(node => node.nodeType == 3).map(node => node.data.trim()).join('');
    if (!text || !one.getClientRects().length) continue;
    const style = getComputedStyle(one);
    const [a, b] = [light(one.closest('svg') ? style.fill : style.color), light(behind(one))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push([ratio, text]);
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The page of a recorded host."""
    model = report_model.build(json.loads(DATA.read_text()))
    path = tmp_path_factory.mktemp("report") / "smallhost.html"
    path.write_text(report_page.render(model, str(ROOT / "roles/report/templates"))["html"])
    return path


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser.page(tmp_path_factory.mktemp("browser") / "profile") as found:
        yield found


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_the_page_fits_the_screen_and_can_be_read(tab, report, width, scheme):
    tab.look(width, 800, scheme)
    tab.open(report)
    if "HEADROOM_REPORT_PICTURES" in os.environ:
        tab.picture(Path(os.environ["HEADROOM_REPORT_PICTURES"]) / f"report-{width}-{scheme}.png")
    assert tab.ask("innerWidth") == width
    assert tab.ask("document.scrollingElement.scrollWidth") <= width
    assert tab.ask(TOO_WIDE) == []
    assert tab.ask(TOO_FAINT) == []


def test_the_schemes_differ(tab, report):
    seen = []
    for scheme in ("light", "dark"):
        tab.look(360, 800, scheme)
        tab.open(report)
        seen.append(tab.ask("getComputedStyle(document.body).backgroundColor"))
    assert seen[0] != seen[1]


def test_plots_are_drawn_and_have_words(tab, report):
    tab.look(1280, 800, "light")
    tab.open(report)
    curves = len(json.loads(DATA.read_text())["recorded"]["curves"])
    assert curves > 0
    assert tab.ask("document.querySelectorAll('.grid svg path').length") >= 2 * curves
    assert tab.ask("[...document.querySelectorAll('svg')].every(one => one.getAttribute('aria-label').length > 20)")
    assert tab.ask("[...document.querySelectorAll('table')].every(one => one.caption.innerText.length > 5)")


def test_nothing_is_asked_of_the_network_and_nothing_complains(tmp_path, report):
    with browser.page(tmp_path / "profile") as tab:
        tab.look(360, 800, "light")
        tab.open(report)
        tab.ask("document.body.innerText.length")
        assert [url for url in tab.requests if not url.startswith("about:")] == [report.resolve().as_uri()]
        assert tab.complaints == []


def test_the_test_sees_what_is_wrong(tmp_path, tab):
    page = tmp_path / "wrong.html"
    page.write_text(
        "<body style='background: #fff'><p style='color: #bbb; width: 900px'>faint and wide</p>"
        "<img src='http://127.0.0.1:9/x.png'><script>console.error('oh')</script>"
    )
    tab.look(360, 800, "light")
    before = len(tab.requests)
    tab.open(page)
    assert any("127.0.0.1:9" in url for url in tab.requests[before:])
    assert any("oh" in text for text in tab.complaints)
    assert len(tab.ask(TOO_WIDE)) > 0
    assert len(tab.ask(TOO_FAINT)) == 1
