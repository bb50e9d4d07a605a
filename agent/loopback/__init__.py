"""The tracking server of a run on this node: MLflow's API on 127.0.0.1, store and forward. A process of its own."""
