#!/bin/sh
# Makes the node's own configuration at its first start; it must be able to write it, since a failover changes whom it follows.
set -eu
own=/data/redis.conf
if [ ! -e "$own" ]; then
    {
        cat /etc/redis/redis.conf
        echo "masterauth $(cat /run/secrets/redis-replica)"
        # A name instead of the address, which another container may have one day.
        echo "replica-announce-ip $NAME"
        [ -z "${FOLLOWS:-}" ] || echo "replicaof $FOLLOWS 6379"
    } >"$own.new"
    mv "$own.new" "$own"
fi
exec redis-server "$own"
