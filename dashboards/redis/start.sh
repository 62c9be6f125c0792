#!/bin/sh
# Fills the passwords into users.acl and starts the server in this process's place.
#   %GLASSCACHE%, %MONITOR%: the SHA-256 of REDIS_PASSWORD, REDIS_MONITOR_PASSWORD; nopass where the variable is empty.
# A hash, so that neither a command line nor the server's memory holds a password. Without one the user may be
# anybody on the compose network, which has no port on the host: a stack for one's own machine needs no secret.
set -eu
umask 077

word() {
    if [ -z "$1" ]; then echo nopass; else printf %s "$1" | sha256sum | sed 's/^\([0-9a-f]*\).*/#\1/'; fi
}

sed -e "s/%GLASSCACHE%/$(word "${REDIS_PASSWORD:-}")/" -e "s/%MONITOR%/$(word "${REDIS_MONITOR_PASSWORD:-}")/" \
    /etc/valkey/users.acl >/tmp/users.acl
unset REDIS_PASSWORD REDIS_MONITOR_PASSWORD
exec valkey-server /etc/valkey/valkey.conf
