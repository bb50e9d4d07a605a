"""The agent of a cluster's node: `runyard agent`."""
