#!/bin/sh
# Makes the environment in folder $1 in which the tests' trainings run: frameworks and MLflow, which the project itself never needs.
set -eu
venv=$1
want="torch==2.13.0 numpy==2.4.6 mlflow==3.17.2 scikit-learn==1.9.1 lightning==2.6.6 lightgbm==4.7.0 transformers==5.24.0
accelerate==1.15.0 matplotlib==3.11.2 hypothesis==6.170.15 optuna==5.0.0"
made="$venv/.made"
[ -f "$made" ] && [ "$(cat "$made")" = "$want" ] && exit 0
"${PYTHON:-python3}" -m venv --clear "$venv"
# shellcheck disable=SC2086 - words
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check $want
printf '%s\n' "$want" >"$made"
