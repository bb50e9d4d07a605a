"""Clusters: which nodes there are, the queue of runs, and who gets which nodes."""
