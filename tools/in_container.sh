#!/bin/sh
# Unpacks the committed state in an empty container of Debian with Python 3.11 and runs the README's two commands.
set -eu
image=python:3.11-slim-bookworm
sh "$(dirname "$0")/need_engine.sh" test-container
if ! command -v git >/dev/null; then
    echo "test-container: git is needed (on Debian: apt-get install git)." >&2
    exit 1
fi
root=$(cd "$(dirname "$0")/.." && pwd)
bundle=$(mktemp -d)
trap 'rm -rf "$bundle"' EXIT
git -C "$root" archive --format=tar --output "$bundle/source.tar" HEAD

# The host's proxy and certificates, where it has any, so that the container reaches the package index.
set -- --rm --network host -e "TESTS=${TESTS:-}" -v "$bundle:/bundle:ro" -e PYTHONDONTWRITEBYTECODE=1
for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
    eval "value=\${$name:-}"
    [ -z "$value" ] || set -- "$@" -e "$name=$value"
done
for certificates in "${SSL_CERT_FILE:-}" "${REQUESTS_CA_BUNDLE:-}" "${PIP_CERT:-}"; do
    if [ -f "$certificates" ]; then
        cp "$certificates" "$bundle/certificates.pem"
        set -- "$@" -e SSL_CERT_FILE=/bundle/certificates.pem
        break
    fi
done
docker run "$@" "$image" sh -euc '
    command -v make >/dev/null || {
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends make >/dev/null
    }
    mkdir /project && tar -xf /bundle/source.tar -C /project && cd /project
    python3 --version
    make demo
    make test TESTS="$TESTS" || make test-again
'
