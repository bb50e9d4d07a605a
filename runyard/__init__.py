"""Runyard: a compute-cluster node agent and log collector for machine-learning training."""

__version__ = "0.1.0"
