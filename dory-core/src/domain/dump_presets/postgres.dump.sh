set -euf
# As the official image names its superuser; libpq finds PGHOST, PGPORT and the like by itself.
export PGUSER="${PGUSER:-${POSTGRES_USER:-postgres}}"
if [ -z "${PGPASSWORD:-}" ]; then
    password="${POSTGRES_PASSWORD:-}"
    [ -n "$password" ] || [ -z "${POSTGRES_PASSWORD_FILE:-}" ] || password=$(cat "$POSTGRES_PASSWORD_FILE")
    [ -z "$password" ] || export PGPASSWORD="$password"
fi
# An error in the middle must not look like an end.
ask() { psql -X -q -A -t -v ON_ERROR_STOP=1 -d template1 "$@"; }

# Roles, without tablespaces: those need folders that the server which loads this may not have. Assigned first, for in a
# pipe its failure would be nobody's.
roles=$(pg_dumpall --roles-only --database=template1)
# A role that is there cannot be created, and one that connects or owns cannot be dropped: each is made if it is missing, and
# what follows gives it all it had. These lines hold no user's data, so nothing of it can be mistaken for one of them.
sed 's/^CREATE ROLE \(.*\);$/DO $dory$ BEGIN CREATE ROLE \1; EXCEPTION WHEN duplicate_object THEN NULL; END $dory$;/' <<ROLES
$roles
ROLES

databases=$(ask -c "select datname from pg_database where datallowconn and datname not in ('template0', 'template1') order by 1")
IFS='
'
for database in $databases; do
    # Who is connected would keep the database from going, and an application's pool comes back at once: FORCE ends its
    # sessions and drops in one step. Nobody can drop the database he is in, nor one that is a template.
    printf '\\connect template1\n'
    ask -v database="$database" <<'SQL'
select format('UPDATE pg_catalog.pg_database SET datistemplate = false WHERE datname = %L;', :'database');
select format('DROP DATABASE IF EXISTS %I WITH (FORCE);', :'database');
SQL
    # --create: encoding, locale, owner and settings of the database come back with it.
    # The name goes by the environment: on the command line, one with `=` in it would be read as more than a name.
    PGDATABASE="$database" pg_dump --create --no-tablespaces
done
