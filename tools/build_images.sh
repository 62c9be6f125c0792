#!/bin/sh
# Builds both images under the names that docker-compose.yml has for them. What `docker compose build` does too;
# this hands in the host's proxy and certificates, and its network, where a build needs them to reach the index.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
set -- --network host
for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
    eval "value=\${$name:-}"
    [ -z "$value" ] || set -- "$@" --build-arg "$name=$value"
done
for certificates in "${SSL_CERT_FILE:-}" "${REQUESTS_CA_BUNDLE:-}" "${PIP_CERT:-}"; do
    if [ -f "$certificates" ]; then
        set -- "$@" --secret "id=certificates,src=$certificates"
        break
    fi
done
export DOCKER_BUILDKIT=1
docker build "$@" --target app --tag glasscache:0.1.0 "$root"
docker build "$@" --target traffic --tag glasscache-traffic:0.1.0 "$root"
