set -euf
export PGUSER="${PGUSER:-${POSTGRES_USER:-postgres}}"
if [ -z "${PGPASSWORD:-}" ]; then
    password="${POSTGRES_PASSWORD:-}"
    [ -n "$password" ] || [ -z "${POSTGRES_PASSWORD_FILE:-}" ] || password=$(cat "$POSTGRES_PASSWORD_FILE")
    [ -z "$password" ] || export PGPASSWORD="$password"
fi
# -X: no psqlrc. ON_ERROR_STOP: the first error ends it, and shows in its exit code. -o: what queries answer is of no use.
exec psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -d template1
