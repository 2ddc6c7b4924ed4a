#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes a Python base image out of a Debian root (or completes one that has Python already): trust in the certificates
# that were copied in, for the system and for clients that bring certifi's list of their own.
set -eu

if ! command -v python3 > /dev/null; then
    apt-get update
    apt-get install -y --no-install-recommends python3 python3-pip python3-venv
    rm -rf /var/lib/apt/lists/*
    ln -s python3 /usr/bin/python
    # Debian keeps pip away from its own packages; here everything belongs to the image.
    rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
fi
update-ca-certificates

printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\nfind-links = /opt/wheels\ndisable-pip-version-check = true\nroot-user-action = ignore\n' > /etc/pip.conf

# pip takes this wheel for the newest certifi, so that an image built from this base trusts the sandbox's authority
# with no change to its requirements.
mkdir -p /opt/wheels /tmp/certifi
cd /tmp/certifi
python3 -m pip download --quiet --no-deps certifi
python3 -m pip install --quiet --target tool wheel
PYTHONPATH=tool python3 -m wheel unpack certifi-*.whl
for folder in certifi-*/; do
    cat /usr/local/share/ca-certificates/*.crt >> "$folder/certifi/cacert.pem"
    sed -i 's/^Version: .*/Version: 9999.0/' "$folder"/certifi-*.dist-info/METADATA
    mv "$folder"/certifi-*.dist-info "$folder/certifi-9999.0.dist-info"
    PYTHONPATH=tool python3 -m wheel pack --dest-dir /opt/wheels "$folder"
done
cd /
rm -rf /tmp/certifi
