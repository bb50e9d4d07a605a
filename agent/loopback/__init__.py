"""MLflow's tracking API on the node's loopback: a script's records land in its run's journal, collector or none."""
