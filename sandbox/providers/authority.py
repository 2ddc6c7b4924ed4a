# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The private certificate authority of a cache, and the certificate that the stand-ins show.

Both are made once for each cache: images that trust the authority stay valid as long as the cache does. Its key never
leaves the machine, and only images of the sandbox trust it.
"""

from __future__ import annotations

from pathlib import Path

from sandbox import providers
from sandbox.process import run, step
from sandbox.state import cache_dir

DAYS = 3650
KEY_TYPE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def folder() -> Path:
    """Return the folder with authority.crt/.key and providers.crt/.key."""
    return cache_dir() / "authority"


def ensure() -> Path:
    """Make what is missing and return the folder. A certificate for other names than today's is made anew."""
    here = folder()
    here.mkdir(parents=True, exist_ok=True, mode=0o700)
    names = ",".join(f"DNS:{name}" for name in providers.HOST_NAMES)
    if not (here / "authority.crt").exists():
        with step("make the sandbox's certificate authority"):
            _request(
                here, "authority", "/CN=Headroom sandbox authority", "basicConstraints=critical,CA:TRUE",
                "keyUsage=critical,keyCertSign,cRLSign",
            )  # fmt: skip
    record = here / "names"
    if not record.exists() or record.read_text() != names:
        _request(
            here, "providers", "/CN=stand-in providers", "basicConstraints=critical,CA:FALSE",
            "extendedKeyUsage=serverAuth", f"subjectAltName={names}",
            signer=("-CA", str(here / "authority.crt"), "-CAkey", str(here / "authority.key")),
        )  # fmt: skip
        record.write_text(names)
    return here


def _request(here: Path, name: str, subject: str, *extensions: str, signer: tuple[str, ...] = ()) -> None:
    added = [word for extension in extensions for word in ("-addext", extension)]
    certificate, key = here / f"{name}.crt", here / f"{name}.key"
    # A half-made pair must not be taken for a whole one: the certificate is put in place last.
    fresh = certificate.with_suffix(".new")
    run(
        ["openssl", "req", "-x509", *KEY_TYPE, "-days", str(DAYS), "-subj", subject, *added, *signer,
         "-keyout", str(key), "-out", str(fresh)]
    )  # fmt: skip
    fresh.replace(certificate)
