"""A script as a user of scikit-learn has it."""

import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

mlflow.sklearn.autolog()
X, y = load_iris(return_X_y=True)
LogisticRegression(max_iter=200, random_state=0).fit(X, y)
