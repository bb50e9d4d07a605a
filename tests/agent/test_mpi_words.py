"""mpirun's own words become one sentence and a place in its log: said by the real mpirun, wherever it can be brought to it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from runyard.agent.mpi import command, words

needs_mpirun = pytest.mark.skipif(shutil.which("mpirun") is None, reason="mpirun is not installed")
ROOT_MAY = dict.fromkeys(("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"), "1")
LOST = b"""[n1:14721] something before
--------------------------------------------------------------------------
ORTE has lost communication with a remote daemon.

  HNP daemon   : [[8373,0],0] on node n1
  Remote daemon: [[8373,0],1] on node 10.78.0.12

This is usually due to either a failure of the TCP network
connection to the node, or possibly an internal failure of
the daemon itself. We cannot recover from this failure, and
therefore will terminate the job.
--------------------------------------------------------------------------
Killed
"""


def said(*arguments: str, **environment: str) -> bytes:
    """What mpirun says, on both streams."""
    environ = dict(os.environ) | ROOT_MAY | environment
    done = subprocess.run(
        ["mpirun", *arguments], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False
    )
    assert done.returncode != 0
    return done.stdout


HERE = ("--host", "localhost:2")
FIRST_FAILS = 'test "$OMPI_COMM_WORLD_RANK" = 1 && {}; exec sleep 20'


@needs_mpirun
@pytest.mark.needs_system("openmpi-bin")
@pytest.mark.parametrize(
    ("arguments", "cause", "rank"),
    [
        ((*HERE, "-np", "3", "true"), "3 processes were asked for, and there are not enough slots", None),
        ((*HERE, "-np", "2", "no-such-program"), "no-such-program is not on node", None),
        ((*HERE, "--no-such-option", "true"), "does not know the option --no-such-option", None),
        (("--mca", "plm", "rsh", "--mca", "plm", "rsh", "true"), "the MCA parameter plm was given twice", None),
        (("--hostfile", "/no/such", "true"), "the hostfile /no/such cannot be read", None),
        ((*HERE, "--wdir", "/no/such", "true"), "the folder /no/such is not on node", None),
        (("--mca", "plm_rsh_agent", "/no/such", "--host", "a:1,b:1", "true"), "agent /no/such is not there", None),
        ((*HERE, "-np", "2", "sh", "-c", FIRST_FAILS.format("exit 7")), "rank", 1),
        ((*HERE, "-np", "2", "sh", "-c", FIRST_FAILS.format("kill -SEGV $$")), "rank", 1),
    ],
)
def test_what_mpirun_says_is_understood(arguments: tuple[str, ...], cause: str, rank: int | None) -> None:
    text = said(*arguments)
    found = words.read(text)
    assert found is not None, text
    assert cause in found.cause
    assert found.is_of_rank == (rank is not None)
    assert found.rank in (rank, None)  # sometimes it tells only that there was one
    assert 0 <= found.start < found.end <= len(text)


@needs_mpirun
@pytest.mark.needs_system("openmpi-bin")
def test_a_node_without_mpi_is_told_by_its_shells_words(tmp_path: Path) -> None:
    agent = tmp_path / "agent"
    agent.write_text('#!/bin/sh\nshift\nexec env -i PATH=/nowhere /bin/sh -c "$*"\n')
    agent.chmod(0o755)
    found = words.read(said("--mca", "plm_rsh_agent", str(agent), "--host", "localhost:1,10.99.9.9:1", "-np", "2", "true"))
    assert found is not None
    assert "orted is not in the run's PATH there" in found.cause


@needs_mpirun
@pytest.mark.needs_system("openmpi-bin")
def test_our_agents_own_sentence_is_the_cause(tmp_path: Path) -> None:
    environ = command.environment(os.environ, str(tmp_path), is_root=os.getuid() == 0)
    found = words.read(said("--host", "localhost:1,10.99.9.9:1", "-np", "2", "true", **environ))
    assert found is not None
    assert "the host 10.99.9.9 is none of this run's nodes" in found.cause


def test_a_lost_daemon_is_told_with_its_node_and_its_place() -> None:
    found = words.read(LOST)
    assert found is not None
    assert found.cause == "mpirun has lost its daemon on node 10.78.0.12"
    block = LOST[found.start : found.end]
    assert block.startswith(b"ORTE has lost")
    assert block.endswith(b"terminate the job.\n")


def test_other_words_say_nothing_and_places_count_bytes() -> None:
    assert words.read("rank 0: ün alles gut\n".encode()) is None
    text = "möglich\n-----\nMPI_ABORT was invoked on rank 2 in communicator MPI_COMM_WORLD\nwith errorcode 9.\n-----\n".encode()
    found = words.read(text)
    assert found is not None
    assert (found.cause, found.rank) == ("rank 2 called MPI_Abort with error code 9", 2)
    assert text[found.start :].startswith(b"MPI_ABORT")


def test_the_users_own_words_come_last_and_a_path_with_a_space_is_refused() -> None:
    members = [{"ip": "10.0.0.1", "processes": 2}, {"ip": "10.0.0.2", "processes": 2}]
    argv = command.argv(members, ["--bind-to", "none"], is_hydra=False)
    assert argv[: -len(command.PROGRAM)] == [
        *("mpirun", "--host", "10.0.0.1:2,10.0.0.2:2", "--map-by", "slot", "-np", "4", "--bind-to", "none")
    ]
    assert command.why_not() == ""
    assert "a space or a colon" in command.why_not("/opt/my python/bin/python3")
