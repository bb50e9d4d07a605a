"""What the node and its runs use: sampled, told with the heartbeat, and kept with each run."""
