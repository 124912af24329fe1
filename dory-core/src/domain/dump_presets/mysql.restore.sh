set -euf
password="${MARIADB_ROOT_PASSWORD:-${MYSQL_ROOT_PASSWORD:-}}"
file="${MARIADB_ROOT_PASSWORD_FILE:-${MYSQL_ROOT_PASSWORD_FILE:-}}"
[ -n "$password" ] || [ -z "$file" ] || password=$(cat "$file")
[ -z "$password" ] || export MYSQL_PWD="$password"
client=$(command -v mariadb || command -v mysql)
# Without --force the first error ends it, and shows in its exit code.
exec "$client" --user=root --batch --default-character-set=utf8mb4
