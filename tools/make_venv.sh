#!/bin/sh
# Makes the environment in folder $1 and installs this project into it, with the versions that constraints.txt pins.
set -eu
venv=$1
python=${PYTHON:-python3}
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "runyard needs Python 3.11 or newer; $("$python" --version) was found. Set PYTHON=/path/to/python3.11." >&2
    exit 2
}
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    # Debian keeps these in a package of its own.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
    else
        echo "this Python has no ensurepip; install it first: sudo apt-get install python3-venv" >&2
        exit 2
    fi
fi
# An environment that was begun and not finished is made anew.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$root/constraints.txt" setuptools
# setuptools warns of the plain kind of editable install, the only one that adds no import hook to every start.
PYTHONWARNINGS=ignore "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$root/constraints.txt" \
    --no-build-isolation --config-settings editable_mode=compat -e "$root[dev,demo]"
