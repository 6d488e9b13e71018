#!/bin/sh
# Exports each secret that is a file as the variable of its name, then becomes the program.
set -eu
for file in "${SECRETS_FOLDER:-/run/secrets}"/[A-Z]*; do
    [ -f "$file" ] || continue
    [ -r "$file" ] || { echo "entrypoint: $file cannot be read by uid $(id -u); make it readable" >&2; exit 1; }
    export "${file##*/}=$(cat "$file")"
done
case "${1:-}" in
    worker | register) exec python -m overnight.infra.stack.container "$@" ;;
    *) exec "$@" ;;
esac
