# SPDX-License-Identifier: GPL-3.0-or-later
# What `FROM python:3.11` means in the sandbox: the same with compilers, headers and tools.
ARG BASE
FROM ${BASE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential curl git libjpeg-dev libpq-dev libssl-dev procps wget zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
CMD ["python3"]
