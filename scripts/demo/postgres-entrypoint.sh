#!/bin/sh
# Makes the database on the first start, then runs it.
set -e
bin=$(echo /usr/lib/postgresql/*/bin)
[ -s "$PGDATA/PG_VERSION" ] || "$bin/initdb" -D "$PGDATA" --auth=trust --username=postgres >/dev/null
exec "$bin/postgres" -D "$PGDATA" -c unix_socket_directories=/tmp -c listen_addresses=''
