# SPDX-License-Identifier: GPL-3.0-or-later
# What `FROM python:3.11-slim` means in the sandbox.
ARG BASE
FROM ${BASE}
COPY certificates/ /usr/local/share/ca-certificates/
COPY docker-clean /etc/apt/apt.conf.d/
COPY python.sh /tmp/
RUN sh /tmp/python.sh && rm /tmp/python.sh
CMD ["python3"]
