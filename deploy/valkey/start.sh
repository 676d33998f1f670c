#!/bin/sh
# Starts Valkey with the password in /run/secrets/valkey. On the command line, `ps` would show it.
set -eu
umask 077
{
    echo "include /etc/valkey/valkey.conf"
    printf 'requirepass "%s"\n' "$(sed 's/[\\"]/\\&/g' /run/secrets/valkey)"
} >/tmp/valkey.conf
exec valkey-server /tmp/valkey.conf
