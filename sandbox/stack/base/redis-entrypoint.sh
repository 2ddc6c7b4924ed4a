#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Options alone mean redis-server. Protected mode is off, as in the image that this one stands for.
set -e
case "$1" in
    -*) set -- redis-server "$@" ;;
esac
if [ "$1" = redis-server ]; then
    exec "$@" --protected-mode no
fi
exec "$@"
