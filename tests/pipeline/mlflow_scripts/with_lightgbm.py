"""A script as a user of LightGBM has it."""

import lightgbm
import mlflow
from sklearn.datasets import load_iris

mlflow.lightgbm.autolog()
X, y = load_iris(return_X_y=True)
data = lightgbm.Dataset(X, y)
params = {"objective": "multiclass", "num_class": 3, "seed": 0, "num_threads": 1, "verbose": -1, "deterministic": True}
lightgbm.train(params, data, num_boost_round=5, valid_sets=[data], valid_names=["train"])
