"""The SDK: workspace, experiments, runs. What is public of it is named in runyard/__init__.py. Standard library only."""
