set -euf
# --archive: one stream for all databases, to standard output. --quiet: no progress among the last words.
user="${MONGO_INITDB_ROOT_USERNAME:-}"
[ -n "$user" ] || exec mongodump --quiet --archive
password="${MONGO_INITDB_ROOT_PASSWORD:-}"
[ -n "$password" ] || [ -z "${MONGO_INITDB_ROOT_PASSWORD_FILE:-}" ] || password=$(cat "$MONGO_INITDB_ROOT_PASSWORD_FILE")
# In single quotes YAML knows one special character, the quote itself.
quoted=$(printf '%s' "$password" | sed "s/'/''/g")
# The tools take a password from no variable, but from a file: this one is a pipe.
exec mongodump --quiet --archive --username "$user" --authenticationDatabase admin --config /dev/fd/3 3<<CONFIG
password: '$quoted'
CONFIG
