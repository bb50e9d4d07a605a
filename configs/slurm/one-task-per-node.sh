#!/bin/bash
#SBATCH --job-name=train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --time=24:00:00
# Add what your site asks for, as --gpus-per-node=2, --cpus-per-task=16 or --partition=….

# One task per node; `runyard run` starts the node's processes (--nproc-per-node) itself and ends them together. Each process
# gets what torch.distributed's env:// reads. Nodes, node rank and run id are Slurm's: nothing has to be said of them.

# The collector, and a file with a token for it that only you can read (see README.md).
export RUNYARD_COLLECTOR_URL="${RUNYARD_COLLECTOR_URL:-http://collector.example:8750}"
export RUNYARD_CLIENT__TOKEN_FILE="${RUNYARD_CLIENT__TOKEN_FILE:-$HOME/.config/runyard/token}"
# A folder on each node's own disk: the nodes must not share it.
export RUNYARD_SPOOL__DIR="${RUNYARD_SPOOL__DIR:-/tmp/runyard-$USER}"

srun runyard run --experiment "$SLURM_JOB_NAME" --distribution pytorch --nproc-per-node 2 -- python train.py
