"""The overall logs of runs on several nodes: a process beside the collector merges the nodes' streams into them."""
