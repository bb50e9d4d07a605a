"""What MLflow's client reads of runs: one JSON object, by the names that were given.

Arguments: <name>=<tracking URI>=<run id, or "experiment:" and a name whose only run is meant>. The token of a server is in the
variable TOKEN_<port>.
"""

import json
import os
import sys
from urllib.parse import urlsplit

import mlflow
from mlflow import MlflowClient


def files(list_folder, path=None):
    found = []
    for one in list_folder(path):
        found += files(list_folder, one.path) if one.is_dir else [one.path]
    return sorted(found)


def model(client, model_id):
    known = client.get_logged_model(model_id)
    return {
        "name": known.name,
        "status": str(known.status),
        "params": known.params,
        "files": files(lambda path: client.list_logged_model_artifacts(model_id, path)),
    }


def points(client, run_id, name):
    return sorted([point.step, repr(point.value)] for point in client.get_metric_history(run_id, name))


def run(client, wanted):
    if wanted.startswith("experiment:"):
        experiment = client.get_experiment_by_name(wanted.partition(":")[2])
        (found,) = client.search_runs([experiment.experiment_id])
    else:
        found = client.get_run(wanted)
    run_id = found.info.run_id
    children = client.search_runs([found.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
    return {
        "status": found.info.status,
        "metrics": {name: points(client, run_id, name) for name in sorted(found.data.metrics)},
        "params": found.data.params,
        "tags": {key: value for key, value in found.data.tags.items() if not key.startswith("mlflow.")},
        "datasets": sorted(one.dataset.name + one.dataset.digest for one in found.inputs.dataset_inputs),
        "files": files(lambda path: client.list_artifacts(run_id, path)),
        "models": [model(client, one.model_id) for one in (found.outputs.model_outputs if found.outputs else [])],
        "children": {child.info.run_name: [child.info.status, child.data.params, child.data.metrics] for child in children},
    }


answers = {}
for argument in sys.argv[1:]:
    name, uri, wanted = argument.split("=")
    os.environ["MLFLOW_TRACKING_TOKEN"] = os.environ.get(f"TOKEN_{urlsplit(uri).port}", "")
    mlflow.set_tracking_uri(uri)
    answers[name] = run(MlflowClient(uri), wanted)
print(json.dumps(answers))
