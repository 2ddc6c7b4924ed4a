# SPDX-License-Identifier: GPL-3.0-or-later
# What `image: redis:7-alpine` means in the sandbox: Debian's Redis with that image's manners.
ARG BASE
FROM ${BASE}
COPY docker-clean /etc/apt/apt.conf.d/
RUN apt-get update && apt-get install -y --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o redis -g redis /data
COPY redis-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
USER redis
WORKDIR /data
VOLUME /data
EXPOSE 6379
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["redis-server"]
