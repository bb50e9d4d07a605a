"""What trainings record: metrics, parameters, tags, child runs, artifacts. The records, and how they are written and read."""
