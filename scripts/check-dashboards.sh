#!/usr/bin/env bash
# Type-check every dashboard against Grafana's own schema package. Needs node and npm; the packages are
# fetched once into .cache/ and used from there, so that a second run works offline.
set -euo pipefail
cd "$(dirname "$0")/.."

CACHE=$PWD/.cache/dashboards-check
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

install_packages() {
    if cmp -s grafana/check/package.json "$CACHE/package.json" && [ -x "$CACHE/node_modules/.bin/tsc" ]; then
        return
    fi
    rm -rf "$CACHE"
    mkdir -p "$CACHE"
    # The copy of package.json comes last: it says that what lies beside it is whole.
    cp grafana/check/package.json "$WORK/package.json"
    npm install --prefix "$WORK" --no-audit --no-fund --package-lock=false --ignore-scripts --loglevel=error
    mv "$WORK/node_modules" "$CACHE/"
    mv "$WORK/package.json" "$CACHE/"
}

# check FOLDER: type-check each FOLDER/*.json; 0 if all fit.
check() {
    local each name files=()
    rm -f "$CACHE"/*.ts
    cp grafana/check/dashboard.ts "$CACHE/"
    for each in "$1"/*.json; do
        name=$(basename "$each" .json)
        {
            echo "import type { DashboardFile } from './dashboard';"
            printf 'export const dashboard: DashboardFile = '
            cat "$each"
        } > "$CACHE/$name.ts"
        files+=("$name.ts")
    done
    (cd "$CACHE" && node_modules/.bin/tsc --noEmit --strict --skipLibCheck --target esnext \
        --module esnext --moduleResolution bundler "${files[@]}")
}

command -v npm > /dev/null || { echo "npm is not installed: apt-get install npm" >&2; exit 1; }
install_packages
if ! check "${1:-grafana/dashboards}"; then
    echo "failed: line numbers are those of the dashboard's file plus one" >&2
    exit 1
fi
echo "$(ls "${1:-grafana/dashboards}"/*.json | wc -l) dashboards fit $(node -p "require('$CACHE/package.json').devDependencies['@grafana/schema']") of @grafana/schema"
