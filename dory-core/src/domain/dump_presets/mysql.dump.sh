set -euf
# As the official images name it. By the environment, which `ps` does not show.
password="${MARIADB_ROOT_PASSWORD:-${MYSQL_ROOT_PASSWORD:-}}"
file="${MARIADB_ROOT_PASSWORD_FILE:-${MYSQL_ROOT_PASSWORD_FILE:-}}"
[ -n "$password" ] || [ -z "$file" ] || password=$(cat "$file")
[ -z "$password" ] || export MYSQL_PWD="$password"
client=$(command -v mariadb || command -v mysql)
dump=$(command -v mariadb-dump || command -v mysqldump)
ask() { "$client" --user=root --batch --skip-column-names --execute "$1"; }

# MySQL's own puts the numbers of its transactions into a dump, which a server that is not empty refuses. Elsewhere an
# option stands here that is given anyway.
case "$("$dump" --help 2>&1)" in
*set-gtid-purged*) gtid=--set-gtid-purged=OFF ;;
*) gtid=--quick ;;
esac

databases=$(ask "select schema_name from information_schema.schemata where schema_name not in ('mysql', 'sys', 'information_schema', 'performance_schema') order by 1")
IFS='
'
if [ -n "$databases" ]; then
    # --single-transaction: one moment for all InnoDB tables, with nobody locked out. --quick: row by row, in little memory.
    # --routines --events --triggers: code is data too. --hex-blob: bytes survive every character set.
    # --add-drop-database: what was made since goes. The list is split into words on purpose, at line ends alone.
    "$dump" --user=root --single-transaction --quick --routines --events --triggers --hex-blob \
        --default-character-set=utf8mb4 --add-drop-database "$gtid" --databases $databases
fi

# Accounts and what they may do, as rows: the server works with these tables, so they are filled and never dropped.
tables=$(ask "select table_name from information_schema.tables where table_schema = 'mysql' and table_type = 'BASE TABLE' and table_name in ('global_priv', 'user', 'db', 'tables_priv', 'columns_priv', 'procs_priv', 'proxies_priv', 'roles_mapping', 'role_edges', 'default_roles', 'global_grants') order by 1")
printf '\nUSE `mysql`;\n'
"$dump" --user=root --single-transaction --no-create-info --replace --skip-add-locks --skip-triggers --hex-blob \
    --default-character-set=utf8mb4 "$gtid" mysql $tables
printf '\nFLUSH PRIVILEGES;\n'
