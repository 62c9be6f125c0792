#!/bin/sh
# Says what is missing, and fails, where there is no Docker engine, or no compose when "compose" is asked for.
#   sh tools/need_engine.sh NAME [compose]
set -eu
if ! docker info >/dev/null 2>&1; then
    echo "$1: Docker is needed and does not answer." >&2
    echo "Install it (on Debian: apt-get install docker.io), start it, and see that 'docker info' works." >&2
    exit 1
fi
if [ "${2:-}" = compose ] && ! docker compose version >/dev/null 2>&1; then
    echo "$1: 'docker compose' is needed: install the plugin docker-compose-plugin (version 2.24 or later)." >&2
    exit 1
fi
