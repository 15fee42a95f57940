#!/bin/sh
# Runs once before the other services: makes the secrets that nobody chose, renders configuration.
# Who reads a secret runs with this one's group; a secret that is there is kept.
set -eu
umask 027
secrets=/rendered/secrets
mkdir -p "$secrets"

random() {
    python -c 'import secrets; print(secrets.token_urlsafe(32), end="")'
}

for name in postgres_password grafana_password api_token; do
    [ -s "$secrets/$name" ] || random > "$secrets/$name"
done
printf 'postgresql://mda:%s@postgres:5432/mda' "$(cat "$secrets/postgres_password")" \
    > "$secrets/database_url"

exec mda render --out /rendered
