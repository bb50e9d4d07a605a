"""The command itself: no verb, an unknown one, a bad flag, errors of the system, closed standard descriptors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runyard import cli
from tests.cli.scene import Driver, command, environment, runyard
from tests.collector.node import Node
from tests.collector_process import CollectorProcess


def bare(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "runyard", *arguments], capture_output=True, text=True, timeout=30)


def test_without_a_verb_it_prints_the_help() -> None:
    done = bare()
    assert done.returncode == 2
    assert "usage: runyard" in done.stderr
    assert all(verb in done.stderr for verb in cli.VERBS)


@pytest.mark.parametrize(("verb", "words"), [("lgos", "did you mean 'logs'?"), ("xyzzy", "there are run, logs,")])
def test_an_unknown_verb_names_the_nearest(verb: str, words: str) -> None:
    done = bare(verb)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"runyard: there is no verb '{verb}'; {words}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["ps", "--limt", "3"], ["ps", "--limit", "x"], ["logs", "r", "--frobnicate"]])
def test_a_bad_flag_prints_the_usage_of_its_verb(arguments: list[str]) -> None:
    done = bare(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"usage: runyard {arguments[0]} ")
    assert "--limt" in done.stderr or "--limit" in done.stderr or "--frobnicate" in done.stderr


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(13, "Permission denied", "/some/file"), "Permission denied: /some/file"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("odd"), "odd"),
        (RuntimeError("can't start new thread"), "can't start new thread"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_an_unforeseen_error_of_the_system_is_one_sentence(error: OSError | RuntimeError, sentence: str) -> None:
    assert cli.sentence_of(error) == sentence


def test_a_folder_that_was_removed_under_us_is_one_sentence(tmp_path: Path) -> None:
    script = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    argv = ["bash", "-c", script, "bash", *command("run", "--", "true")]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr == "runyard: No such file or directory\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_run_with_closed_descriptors_is_kept_whole_and_no_file_gets_their_number(
    collector: CollectorProcess, tmp_path: Path, closed: str
) -> None:
    spool = tmp_path / "spool"
    driver = "readlink /proc/self/fd/0; echo out; echo err >&2; exit 3"
    argv = command("run", "--run-id", f"r{os.getpid()}-{len(closed)}", "--", "sh", "-c", driver)
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *argv],
        env=environment(collector, RUNYARD_SPOOL__DIR=str(spool)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 3, done.stderr
    (log,) = spool.glob("*/azureml-logs/70_driver_log.txt")
    assert sorted(log.read_bytes().splitlines()) == [b"/dev/null", b"err", b"out"]
    assert (b"out" in done.stdout) is (">&-" not in closed.replace("2>&-", ""))
    assert (b"err" in done.stderr) is ("2>&-" not in closed)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_logs_and_its_errors_with_closed_descriptors(collector: CollectorProcess, closed: str) -> None:
    driver = Driver(Node(collector)).start().write(b"line\n").end()
    for run_id, code in ((driver.node.run_id, 0), ("there-is-none", 2)):
        argv = command("logs", run_id)
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {closed}', "sh", *argv], env=environment(collector), capture_output=True, timeout=60
        )
        assert done.returncode == code, done.stderr
        assert done.stdout == (b"line\n" if code == 0 and closed != ">&-" else b"")
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("verb", [["ps"], ["show", "r"], ["logs", "r"], ["verify", "r"], ["download", "r"]])
def test_without_a_token_it_says_how_to_set_one(collector: CollectorProcess, verb: list[str]) -> None:
    done = runyard(collector, *verb, RUNYARD_TOKEN="")
    assert done.returncode == 2
    assert b"RUNYARD_TOKEN" in done.stderr
    assert b"token_file" in done.stderr
    assert b"RUNYARD_TOKEN" not in runyard(collector, *verb, RUNYARD_TOKEN="wrong").stderr
