# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program inside the container: all providers on 443 under their own names, DNS on 53, the control on 8080."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl

from aiohttp import web

from sandbox import providers
from sandbox.providers.control import Control
from sandbox.providers.dns import NameServer
from sandbox.providers.stand_ins import Providers

CERTIFICATE = "/etc/providers/providers.crt"
KEY = "/etc/providers/providers.key"


def own_address() -> str:
    """Return this container's address on its network."""
    return socket.gethostbyname(socket.gethostname())


async def serve() -> None:
    """Run until the process is told to stop."""
    stand_ins = Providers(
        seed=int(os.environ.get("PROVIDERS_SEED", "1")), scale=float(os.environ.get("PROVIDERS_LATENCY_SCALE", "1"))
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(
        lambda: NameServer(providers.HOST_NAMES, own_address()), local_addr=("0.0.0.0", 53)
    )
    for app, port, tls in (
        (stand_ins.application(), 443, context),
        (Control(stand_ins).application(), providers.CONTROL_PORT, None),
    ):
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", port, ssl_context=tls).start()
    logging.info("answering as %s from %s", ", ".join(providers.HOST_NAMES), own_address())
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    asyncio.run(serve())
