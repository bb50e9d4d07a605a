#!/bin/bash
#SBATCH --job-name=train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --time=24:00:00
# Add what your site asks for, as --gpus-per-task=1, --cpus-per-task=8 or --partition=….

# Slurm starts every process, and binds each to its GPUs and cores. A node's tasks find each other in its spool and are one run;
# each echoes its own process, and ends with that one's exit code.

# The collector, and a file with a token for it that only you can read (see README.md).
export RUNYARD_COLLECTOR_URL="${RUNYARD_COLLECTOR_URL:-http://collector.example:8750}"
export RUNYARD_CLIENT__TOKEN_FILE="${RUNYARD_CLIENT__TOKEN_FILE:-$HOME/.config/runyard/token}"
# A folder on each node's own disk: the nodes must not share it.
export RUNYARD_SPOOL__DIR="${RUNYARD_SPOOL__DIR:-/tmp/runyard-$USER}"

srun --kill-on-bad-exit=0 runyard run --experiment "$SLURM_JOB_NAME" --distribution pytorch -- python train.py
