"""The training of ddp.py as a program for mpirun, which gives each process its rank by names of its own."""

import os
import runpy
from pathlib import Path

os.environ["RANK"] = os.environ["OMPI_COMM_WORLD_RANK"]
os.environ["WORLD_SIZE"] = os.environ["OMPI_COMM_WORLD_SIZE"]
os.environ["LOCAL_RANK"] = os.environ["OMPI_COMM_WORLD_LOCAL_RANK"]
os.environ["MASTER_ADDR"], _, os.environ["MASTER_PORT"] = os.environ["AZ_BATCH_MASTER_NODE"].rpartition(":")
runpy.run_path(str(Path(__file__).with_name("ddp.py")), run_name="__main__")
