set -euf
# --drop: a collection of the archive takes the place of the one that is there. --stopOnError: never a success in part.
user="${MONGO_INITDB_ROOT_USERNAME:-}"
[ -n "$user" ] || exec mongorestore --quiet --archive --drop --stopOnError
password="${MONGO_INITDB_ROOT_PASSWORD:-}"
[ -n "$password" ] || [ -z "${MONGO_INITDB_ROOT_PASSWORD_FILE:-}" ] || password=$(cat "$MONGO_INITDB_ROOT_PASSWORD_FILE")
quoted=$(printf '%s' "$password" | sed "s/'/''/g")
exec mongorestore --quiet --archive --drop --stopOnError --username "$user" --authenticationDatabase admin \
    --config /dev/fd/3 3<<CONFIG
password: '$quoted'
CONFIG
