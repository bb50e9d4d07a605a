"""What a node and its runs use: processors, memory, disks, network, GPUs, pressure."""
