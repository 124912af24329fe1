#!/bin/sh
# Runs one of the servers, $1, with its data in /data: makes it on the first start, with the password of the variables that
# the official images know.
set -eu
as() { user=$1; shift; exec setpriv --reuid="$user" --regid="$user" --init-groups "$@"; }
case $1 in
postgres)
    bin=$(echo /usr/lib/postgresql/*/bin)
    mkdir -p /data/db && chown postgres:postgres /data/db && chmod 700 /data/db
    if [ ! -s /data/db/PG_VERSION ]; then
        printf '%s' "$POSTGRES_PASSWORD" >/tmp/password
        chown postgres:postgres /tmp/password
        (as postgres "$bin/initdb" -D /data/db --auth=scram-sha-256 --username="$POSTGRES_USER" --pwfile=/tmp/password)
        rm /tmp/password
    fi
    as postgres "$bin/postgres" -D /data/db -c unix_socket_directories=/tmp -c listen_addresses=''
    ;;
mariadb)
    mkdir -p /data/db && chown mysql:mysql /data/db
    [ -d /data/db/mysql ] || mariadb-install-db --user=mysql --datadir=/data/db --auth-root-authentication-method=normal
    printf "ALTER USER root@localhost IDENTIFIED BY '%s';\n" "$MARIADB_ROOT_PASSWORD" >/tmp/init.sql
    exec mariadbd --user=mysql --datadir=/data/db --skip-networking --init-file=/tmp/init.sql
    ;;
redis)
    chown redis:redis /data
    as redis redis-server --dir /data --requirepass "$REDIS_PASSWORD" --appendonly yes --bind 127.0.0.1
    ;;
esac
