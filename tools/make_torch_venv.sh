#!/bin/sh
# Makes the environment in folder $1 in which the tests' trainings run: PyTorch's CPU build, which the project itself never needs.
set -eu
venv=$1
want=2.13.0
"$venv/bin/python" -c "import torch, numpy, sys; sys.exit(torch.__version__.split('+')[0] != '$want')" 2>/dev/null && exit 0
"${PYTHON:-python3}" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "torch==$want" numpy==2.4.6
