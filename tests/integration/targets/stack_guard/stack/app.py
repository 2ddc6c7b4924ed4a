# SPDX-License-Identifier: GPL-3.0-or-later
"""A small HTTP service that does as the files in /srv/state say: start, delay (seconds), broken. It counts hits."""

import http.server
import os
import time

STATE = "/srv/state"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(f"{STATE}/hits", "a") as hits:
            hits.write(".")
        if self.path == "/health":
            with open(f"{STATE}/delay") as delay:
                time.sleep(float(delay.read()))
        if os.path.exists(f"{STATE}/broken"):
            self.send_error(500)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"well\n" * 40)

    def log_message(self, *words):
        pass


with open(f"{STATE}/start") as start:
    time.sleep(float(start.read()))
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
