#!/bin/sh
# Clones the committed state into an empty container of Debian with Python 3.11 and runs the README's two commands.
set -eu
image=python:3.11-slim-bookworm
if ! docker info >/dev/null 2>&1; then
    echo "test-container: Docker is needed and does not answer; install docker.io and start it" >&2
    exit 1
fi
root=$(cd "$(dirname "$0")/.." && pwd)
bundle=$(mktemp -d)
trap 'rm -rf "$bundle"' EXIT
git -C "$root" archive --format=tar --output "$bundle/source.tar" HEAD
# the host's proxy and certificates, where it has any, so that the container reaches the package index
certificates=${SSL_CERT_FILE:-}
set -- --rm --network host -v "$bundle:/bundle:ro" -e PYTHONDONTWRITEBYTECODE=1
for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
    eval "value=\${$name:-}"
    [ -z "$value" ] || set -- "$@" -e "$name=$value"
done
if [ -n "$certificates" ] && [ -f "$certificates" ]; then
    set -- "$@" -v "$certificates:/certificates.pem:ro" -e SSL_CERT_FILE=/certificates.pem
fi
docker run "$@" "$image" sh -euc '
    command -v make >/dev/null || { apt-get -qq update && apt-get -qq install -y --no-install-recommends make; }
    mkdir /project && tar -xf /bundle/source.tar -C /project && cd /project
    python3 --version
    make demo
    make test
'
