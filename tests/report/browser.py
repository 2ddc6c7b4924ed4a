# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A headless Chromium that is told what to do over a pair of pipes (Chrome DevTools Protocol), without any library."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")

# Nothing that the browser itself would ask the network for.
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
]


def program() -> str | None:
    """The path of a Chromium on this machine, or None."""
    return next((found for found in map(shutil.which, PROGRAMS) if found), None)


class Page:
    """One tab. `requests` are the addresses it asked for, `complaints` what it wrote to its console."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._buffer, self._id = write, read, b"", 0
        self._session: str | None = None
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, wait: float = 60, **params: Any) -> dict[str, Any]:
        """Send a command and return its result. Raises RuntimeError for an error, TimeoutError after `wait` seconds."""
        self._id += 1
        message = {"id": self._id, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(wait)
            if answer.get("id") == self._id:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _next(self, wait: float) -> dict[str, Any]:
        end = time.monotonic() + wait
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError("the browser does not answer")
            data = os.read(self._read, 1 << 20)
            if not data:
                raise RuntimeError("the browser has ended")
            self._buffer += data
        line, _unused, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(line)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, method: str | None, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(str(params["args"]))

    def look(self, width: int, height: int, scheme: str) -> None:
        """The screen (CSS pixels) and the reader's choice of `light` or `dark`."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def open(self, path: Path) -> None:
        """Load a file and wait until it is laid out."""
        url = path.resolve().as_uri()
        self.call("Page.navigate", url=url)
        end = time.monotonic() + 60
        while self.ask("document.readyState + ' ' + location.href") != f"complete {url}":
            if time.monotonic() > end:
                raise TimeoutError(f"{path} was not loaded within a minute")
            time.sleep(0.05)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"]["description"])
        return result["result"].get("value")

    def picture(self, path: Path) -> None:
        """All of the page as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextlib.contextmanager
def page(profile: Path) -> Iterator[Page]:
    """A tab of a new browser, which is gone afterwards. `profile` is an empty folder."""
    binary = program()
    if binary is None:
        raise RuntimeError("there is no Chromium here")
    to_browser, from_browser = os.pipe(), os.pipe()

    def arrange() -> None:
        # The protocol's fixed numbers: 3 to read commands from, 4 to write answers to.
        low, high = os.dup(to_browser[0]), os.dup(from_browser[1])
        low, high = os.dup2(low, 103), os.dup2(high, 104)
        os.dup2(low, 3)
        os.dup2(high, 4)

    argv = [binary, *QUIET, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
    with open(profile.with_suffix(".log"), "wb") as log:
        browser = subprocess.Popen(argv, preexec_fn=arrange, close_fds=False, stdout=log, stderr=log)
    try:
        yield Page(to_browser[1], from_browser[0])
    finally:
        browser.terminate()
        browser.wait(timeout=30)
        for handle in (*to_browser, *from_browser):
            os.close(handle)
