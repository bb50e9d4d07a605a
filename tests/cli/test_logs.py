"""`runyard logs` without -f: the bytes of the log, and each flag that chooses among them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.scene import NOON_NS, STDERR, Driver, command, environment, lines, runyard
from tests.collector.node import LOG, Node
from tests.collector_process import CollectorProcess

BAR = b"epoch 1:   0%\repoch 1:  50%\repoch 1: 100%\n"


@pytest.fixture
def collector(standing_collector: CollectorProcess) -> CollectorProcess:
    return standing_collector


def ended_run(collector: CollectorProcess) -> Driver:
    driver = Driver(Node(collector)).start()
    driver.write(b"loading\n", at_s=1).write(b"warning: slow\n", STDERR, at_s=2).write(BAR, at_s=3)
    return driver.write(b"caf\xe9 \xff\x00 ok\r\n", at_s=4).write(b"no end", at_s=5).end()


@pytest.mark.row("A4")
def test_the_driver_log_is_shown_with_bars_as_their_last_state_and_all_other_bytes_as_they_are(
    collector: CollectorProcess,
) -> None:
    driver = ended_run(collector)
    done = runyard(collector, "logs", driver.node.run_id)
    assert done.stdout == b"loading\nwarning: slow\nepoch 1: 100%\ncaf\xe9 \xff\x00 ok\r\nno end"
    assert (done.returncode, done.stderr) == (0, b"")


def test_raw_is_byte_for_byte_the_file(collector: CollectorProcess) -> None:
    driver = ended_run(collector)
    done = runyard(collector, "logs", driver.node.run_id, "--raw")
    assert done.stdout == driver.content == driver.node.on_disk(LOG)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--stream", "err"], b"warning: slow\n"),
        (["--stream", "out"], b"loading\nepoch 1: 100%\ncaf\xe9 \xff\x00 ok\r\nno end"),
        (["--stream", "out", "--raw", "--tail", "3"], BAR + b"caf\xe9 \xff\x00 ok\r\nno end"),
        (["--tail", "2"], b"caf\xe9 \xff\x00 ok\r\nno end"),
        (["--tail", "0"], b""),
        (["--tail", "100", "--raw"], b"loading\nwarning: slow\n" + BAR + b"caf\xe9 \xff\x00 ok\r\nno end"),
        (["--grep", "ing"], b"loading\nwarning: slow\n"),
        (["--grep", "ing", "--tail", "1"], b"warning: slow\n"),
        (["--grep", "end", "--tail", "1"], b"no end"),
        (["--grep", r"100%$"], b"epoch 1: 100%\n"),
        (["--grep", " 50%", "--raw"], BAR),
        (["--grep", r"ok$"], b"caf\xe9 \xff\x00 ok\r\n"),
        (["--grep", "nothing like it"], b""),
        (["--stream", "err", "--tail", "1", "--grep", "w"], b"warning: slow\n"),
    ],
)
def test_a_flag_chooses_among_the_lines(collector: CollectorProcess, flags: list[str], expected: bytes) -> None:
    done = runyard(collector, "logs", ended_run(collector).node.run_id, *flags)
    assert (done.stdout, done.stderr, done.returncode) == (expected, b"", 0)


def test_timestamps_are_rfc3339_utc_with_milliseconds_of_the_lines_first_byte_shown(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start()
    driver.write(b"begun ", at_s=1.25).write(b"and ended\n10%\r", at_s=2).write(b"20%\n", at_s=3.0619).end()
    done = runyard(collector, "logs", driver.node.run_id, "--timestamps")
    base = datetime.fromtimestamp(NOON_NS // 10**9, UTC)
    assert lines(done.stdout) == [
        f"{base.replace(second=base.second + 1):%Y-%m-%dT%H:%M:%S}.250Z begun and ended",
        f"{base.replace(second=base.second + 3):%Y-%m-%dT%H:%M:%S}.061Z 20%",
    ]


def test_since_shows_what_was_written_at_or_after_a_time(collector: CollectorProcess) -> None:
    now_s = time.time() - NOON_NS / 1e9
    driver = Driver(Node(collector)).start()
    driver.write(b"old\n", at_s=now_s - 7200).write(b"new\n", at_s=now_s - 60).end()
    run_id = driver.node.run_id
    assert runyard(collector, "logs", run_id, "--since", "10m").stdout == b"new\n"
    assert runyard(collector, "logs", run_id, "--since", "3h").stdout == b"old\nnew\n"
    moment = datetime.fromtimestamp(time.time() - 3600, UTC).isoformat()
    assert runyard(collector, "logs", run_id, "--since", moment).stdout == b"new\n"


def test_json_is_one_object_for_each_line(collector: CollectorProcess) -> None:
    done = runyard(collector, "logs", ended_run(collector).node.run_id, "-o", "json")
    found = [json.loads(line) for line in lines(done.stdout)]
    assert [(item["stream"], item["line"]) for item in found][:3] == [
        ("stdout", "loading"),
        ("stderr", "warning: slow"),
        ("stdout", "epoch 1: 100%"),
    ]
    assert found[0]["time_ns"] == NOON_NS + 10**9
    assert found[3]["line"] == "caf\ufffd \ufffd\0 ok"
    assert found[3]["base64"] == "Y2Fm6SD/ACBvaw=="
    assert found[4]["ends"] is False


def test_dropped_bytes_are_one_line_and_raw_keeps_their_place(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start().write(b"before\nhalf").drop(5000).write(b"after\n").end()
    run_id = driver.node.run_id
    marker = b"[runyard: 5000 bytes were dropped here (spool quota)]\n"
    assert runyard(collector, "logs", run_id).stdout == b"before\nhalf\n" + marker + b"after\n"
    assert runyard(collector, "logs", run_id, "--grep", "after").stdout == marker + b"after\n"
    raw = runyard(collector, "logs", run_id, "--raw")
    assert raw.stdout == driver.content == driver.node.on_disk(LOG)
    assert marker.strip() in raw.stderr
    found = [json.loads(line) for line in lines(runyard(collector, "logs", run_id, "-o", "json").stdout)]
    assert {"gap_bytes": 5000, "offset": 11} in found


@pytest.mark.row("A4")
def test_rank_and_node_choose_the_process(collector: CollectorProcess) -> None:
    first = Node(collector, ip="10.0.0.1")
    second = Node(collector, run_id=first.run_id, ip="10.0.0.2", create=False)
    second.run_token = first.run_token
    for node, rank in ((first, 0), (second, 1)):
        Driver(node, rank, world_size=2).start().write(f"rank {rank}\n".encode()).end()
    run_id = first.run_id
    assert runyard(collector, "logs", run_id).stdout == b"rank 0\n"
    assert runyard(collector, "logs", run_id, "--rank", "1").stdout == b"rank 1\n"
    assert runyard(collector, "logs", run_id, "--node", "10.0.0.2").stdout == b"rank 1\n"
    assert runyard(collector, "logs", run_id, "--node", second.node_id, "--raw").stdout == b"rank 1\n"
    path = "10.0.0.2/azureml-logs/70_driver_log_1.txt"
    assert runyard(collector, "logs", run_id, "--file", path).stdout == b"rank 1\n"
    path = "azureml-logs/70_driver_log_1.txt"
    assert runyard(collector, "logs", run_id, "--file", path, "--node", "10.0.0.2").stdout == b"rank 1\n"
    several = runyard(collector, "logs", run_id, "--file", path)
    assert several.returncode == 2
    assert b"--node: 10.0.0.1, 10.0.0.2" in several.stderr
    missing = runyard(collector, "logs", run_id, "--rank", "7")
    assert missing.returncode == 2
    assert b"no process of rank 7 (it has 0, 1)" in missing.stderr


def test_another_file_of_the_run_is_shown_and_a_mistyped_one_is_named(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start().write(b"x\n")
    stream = driver.node.open_one("logs/my.log")
    driver.node.send(stream, 0, b"mine\n")
    driver.node.seal(stream, b"mine\n")
    run_id = driver.end().node.run_id
    done = runyard(collector, "logs", run_id, "--file", "logs/my.log", "--timestamps")
    assert done.stdout == b"- mine\n"
    mistyped = runyard(collector, "logs", run_id, "--file", "logs/my.lgo")
    assert mistyped.returncode == 2
    assert b"did you mean logs/my.log?" in mistyped.stderr


def test_a_file_without_an_index_is_shown_whole_where_a_stream_is_asked_for(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start().write(b"x\n")
    stream = driver.node.open_one("logs/my.log")
    driver.node.send(stream, 0, b"mine\n")
    driver.node.seal(stream, b"mine\n")
    done = runyard(collector, "logs", driver.end().node.run_id, "--file", "logs/my.log", "--stream", "err")
    assert done.stdout == b"mine\n"
    assert b"cannot be told apart" in done.stderr


def test_a_run_that_has_not_started_has_no_log_yet_and_says_so(collector: CollectorProcess) -> None:
    node = Node(collector)
    done = runyard(collector, "logs", node.run_id)
    assert done.returncode == 1
    assert done.stderr.decode().count("\n") == 1
    assert b"NotStarted and has no driver log yet" in done.stderr
    node.put_state("Failed", cause="the command was not found", is_complete=True)
    done = runyard(collector, "logs", node.run_id)
    assert done.returncode == 2
    assert b"the command was not found" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["logs", "{run}", "--grep", "("], "no regular expression"),
        (["logs", "{run}", "--since", "soon"], "2h"),
        (["logs", "{run}", "--tail", "-1"], "at least 0"),
        (["logs", "{run}x"], "did you mean '{run}'?"),
        (["show", "{run}x"], "did you mean '{run}'?"),
        (["verify", "{run}x"], "did you mean '{run}'?"),
        (["download", "{run}x"], "did you mean '{run}'?"),
        (["logs", "zzz"], "runyard ps"),
        (["logs", "../.."], "there is no run"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(collector: CollectorProcess, arguments: list[str], words: str) -> None:
    run_id = ended_run(collector).node.run_id
    done = runyard(collector, *(argument.format(run=run_id) for argument in arguments))
    assert done.returncode == 2
    assert words.format(run=run_id) in done.stderr.decode()
    assert done.stderr.decode().count("\n") == 1
    assert done.stdout == b""


def test_a_wrong_token_is_told_in_the_collectors_words_and_not_shown(collector: CollectorProcess) -> None:
    done = runyard(collector, "logs", "x", RUNYARD_TOKEN="wr0ng-t0ken")
    assert done.returncode == 2
    assert done.stderr.startswith(b"runyard: ")
    assert b"token" in done.stderr
    assert b"wr0ng-t0ken" not in done.stderr


def test_without_a_collector_it_says_what_to_set(collector: CollectorProcess) -> None:
    for verb in (["ps"], ["show", "x"], ["logs", "x"], ["download", "x"], ["verify", "x"]):
        done = runyard(collector, *verb, RUNYARD_COLLECTOR_URL="")
        assert done.returncode == 2
        assert b"RUNYARD_COLLECTOR_URL" in done.stderr


def test_a_reader_that_leaves_early_ends_it_quietly(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start().write(b"line\n" * 400_000).end()
    process = subprocess.Popen(
        command("logs", driver.node.run_id), env=environment(collector), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"line\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(20) == 141


def test_an_output_that_is_full_is_one_sentence(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start().write(b"line\n" * 1000).end()
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command("logs", driver.node.run_id), env=environment(collector), stdout=full, stderr=subprocess.PIPE, timeout=30
        )
    assert done.returncode == 1
    assert done.stderr == b"runyard: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("flags", [[], ["--raw"], ["--grep", "x", "--timestamps"]])
def test_a_line_of_100_mb_passes_in_bounded_memory(collector: CollectorProcess, flags: list[str]) -> None:
    size = 100 << 20
    driver = Driver(Node(collector)).start().write(b"x" * size).write(b"\nend\n").end()
    process = subprocess.Popen(command("logs", driver.node.run_id, *flags), env=environment(collector), stdout=subprocess.PIPE)
    assert process.stdout is not None
    count = 0
    most_kb = 0
    with process.stdout as output:
        while chunk := os.read(output.fileno(), 1 << 20):
            count += chunk.count(b"x")
            most_kb = max(most_kb, memory_kb(process.pid))
    assert (process.wait(20), count) == (0, size)
    assert 0 < most_kb < 60_000


def memory_kb(pid: int) -> int:
    """The most memory that the process has had; 0 where it has just ended."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)


def test_a_warning_in_the_midst_of_a_line_makes_a_line_of_its_own(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start()
    driver.write(b"10%\r2").write(b"WARNING: ", STDERR).write(b"0%").write(b"hot\n", STDERR).write(b"\r30%\nlast").end()
    assert runyard(collector, "logs", driver.node.run_id).stdout == b"WARNING: hot\n30%\nlast"
    assert runyard(collector, "logs", driver.node.run_id, "--grep", "hot").stdout == b"WARNING: hot\n"
    assert runyard(collector, "logs", driver.node.run_id, "--raw").stdout == b"10%\r2WARNING: 0%hot\n\r30%\nlast"
