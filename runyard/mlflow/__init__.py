"""What collector and agent share of MLflow's tracking API: messages, limits, error codes, the filter grammar. Pure."""
