"""Routes under /api/2.0/mlflow that MLflow's own client speaks to; they keep MLflow's shape."""
