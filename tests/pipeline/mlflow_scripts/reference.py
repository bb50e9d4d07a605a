"""Runs scripts one after the other, each in an experiment of its name, at the server that MLFLOW_TRACKING_URI names."""

import os
import runpy
import sys
from pathlib import Path

import mlflow

for script in sys.argv[1:]:
    os.environ["MLFLOW_EXPERIMENT_NAME"] = Path(script).stem
    runpy.run_path(script, run_name="__main__")
    mlflow.end_run()
