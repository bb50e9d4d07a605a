"""A small data-parallel training as anybody would write it. Each rank prints numbered lines and keeps a copy of them.

Arguments: steps, seconds between two steps, folder for the copies. A line ends with the machine's monotonic clock, which all
namespaces share.
"""

import os
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

steps, pause_s, folder = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo")
rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
copies = {1: Path(folder, f"{rank}.out").open("wb", 0), 2: Path(folder, f"{rank}.err").open("wb", 0)}  # noqa: SIM115


def tell(descriptor: int, text: str) -> None:
    line = f"{text} at={time.monotonic_ns()}\n".encode()
    copies[descriptor].write(line)
    os.write(descriptor, line)


torch.manual_seed(rank)
model = DistributedDataParallel(nn.Linear(16, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
tell(1, f"rank {rank} of {world_size} on {os.environ['AZ_BATCH_HOST_LIST']}")
for step in range(steps):
    inputs = torch.randn(32, 16)
    loss = (model(inputs) - inputs.sum(1, keepdim=True)).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    tell(1, f"rank {rank} step {step}/{steps} loss {loss.item():.4f}")
    if step % 10 == 0:
        tell(2, f"rank {rank} warns of step {step}")
    time.sleep(pause_s)
total = torch.tensor([float(rank)])
torch.distributed.all_reduce(total)
tell(1, f"rank {rank} sum {total.item():.0f}")
torch.distributed.destroy_process_group()
