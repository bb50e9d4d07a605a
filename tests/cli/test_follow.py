"""`runyard logs -f`: live, through whatever happens to the collector, until the run is complete."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time

import pytest

from runyard import names
from tests.cli.scene import STDERR, Driver, command, environment, live
from tests.collector.node import Node
from tests.collector_process import CollectorProcess


@pytest.mark.row("B1", "A4")
def test_lines_come_while_the_run_runs_and_it_ends_with_the_run(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start().write(b"first\n")
    with live(collector, "logs", "-f", driver.node.run_id) as shown:
        shown.until(out=b"first\n")
        driver.write(b"sec")
        driver.write(b"ond\n").write(b"third\n", STDERR)
        shown.until(out=b"second\nthird\n")
        driver.end()
        assert shown.end() == 0
    assert shown.out == driver.content
    assert shown.err.decode() == f"runyard: run {driver.node.run_id} is Completed, exit code 0\n"


def test_it_ends_with_0_and_tells_the_exit_code_of_a_run_that_failed(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start().write(b"boom\n").end(3)
    with live(collector, "logs", "-f", driver.node.run_id) as shown:
        assert shown.end() == 0
    assert shown.out == b"boom\n"
    assert b"is Failed, exit code 3" in shown.err


@pytest.mark.parametrize(
    "flags", [[], ["--raw"], ["--timestamps"], ["--stream", "out"], ["--grep", "line"], ["--tail", "10000"]]
)
def test_nothing_is_missed_or_repeated_when_the_collector_is_killed_and_started_again(
    collector: CollectorProcess, flags: list[str]
) -> None:
    driver = Driver(Node(collector)).start()
    with live(collector, "logs", "-f", driver.node.run_id, *flags) as shown:
        for number in range(3):
            for line in range(100):
                driver.write(f"line {number} {line}\n".encode())
            shown.until(out=f"line {number} 99\n".encode())
            collector.kill()
            shown.until(err=b"trying again")
            collector.restart()
            lost = driver.node.open(driver.log)[0]["offset"]
            assert lost == len(driver.content)
        driver.write(b"last line\n").end()
        assert shown.end() == 0
    plain = b"".join(line.partition(b"Z ")[2] if "--timestamps" in flags else line for line in shown.out.splitlines(True))
    assert plain == driver.content
    assert 1 <= shown.err.count(b"trying again") <= 3


def test_it_waits_for_a_run_that_has_not_started(collector: CollectorProcess) -> None:
    node = Node(collector)
    with live(collector, "logs", "-f", node.run_id) as shown:
        shown.until(err=b"waiting: ")
        Driver(node).start().write(b"begun\n").end()
        assert shown.end() == 0
    assert shown.out == b"begun\n"
    assert shown.err.count(b"waiting") == 1


def test_it_waits_for_a_run_whose_id_is_like_anothers(collector: CollectorProcess) -> None:
    other = Driver(Node(collector)).start().end().node.run_id
    with live(collector, "logs", "-f", f"{other}x") as shown:
        shown.until(err=f"; did you mean '{other}'?\n".encode())
        assert shown.err.startswith(b"runyard: waiting: ")


def test_it_waits_for_a_run_that_the_collector_does_not_know_yet_and_says_so_once(collector: CollectorProcess) -> None:
    with live(collector, "logs", "-f", "later-1") as shown:
        shown.until(err=b"there is no run 'later-1'")
        Driver(Node(collector, run_id="later-1")).start().write(b"begun\n").end()
        assert shown.end() == 0
    assert shown.out == b"begun\n"
    assert shown.err.count(b"waiting") == 1


def test_it_waits_for_a_collector_that_is_down(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start().write(b"x\n").end()
    collector.kill()
    with live(collector, "logs", "-f", driver.node.run_id) as shown:
        shown.until(err=b"cannot be reached")
        collector.restart()
        assert shown.end() == 0
    assert shown.out == b"x\n"


def test_without_f_a_collector_that_is_down_is_one_sentence(collector: CollectorProcess) -> None:
    collector.kill()
    with live(collector, "logs", "x") as shown:
        assert shown.end() == 1
    assert b"cannot be reached: Connection refused" in shown.err


def test_it_waits_for_a_file_that_comes_later(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start().write(b"x\n")
    with live(collector, "logs", "-f", driver.node.run_id, "--file", "outputs/late.txt") as shown:
        shown.until(err=b"has no outputs/late.txt yet")
        stream = driver.node.open_one("outputs/late.txt")
        driver.node.send(stream, 0, b"late\n")
        driver.node.seal(stream, b"late\n")
        driver.end()
        assert shown.end() == 0
    assert shown.out == b"late\n"


def test_a_truncated_log_goes_on_with_its_next_generation(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start().write(b"old\n")
    with live(collector, "logs", "-f", driver.node.run_id) as shown:
        shown.until(out=b"old\n")
        driver.truncate().write(b"new\n")
        shown.until(out=b"old\nnew\n")
        driver.end()
        assert shown.end() == 0
    assert shown.out == b"old\nnew\n"
    assert shown.err.count(b"truncated or replaced") == 1


def test_dropped_bytes_are_shown_live(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start().write(b"a\n")
    with live(collector, "logs", "-f", driver.node.run_id) as shown:
        shown.until(out=b"a\n")
        driver.drop(77).write(b"b\n").end()
        assert shown.end() == 0
    assert shown.out == b"a\n[runyard: 77 bytes were dropped here (spool quota)]\nb\n"


def test_tail_of_the_lines_that_are_shown_and_then_live(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start()
    for number in range(5):
        driver.write(f"out {number}\n".encode()).write(f"err {number}\n".encode(), STDERR)
    with live(collector, "logs", "-f", driver.node.run_id, "--stream", "err", "--tail", "2") as shown:
        shown.until(out=b"err 3\nerr 4\n")
        driver.write(b"out 5\n").write(b"err 5\n", STDERR).end()
        assert shown.end() == 0
    assert shown.out == b"err 3\nerr 4\nerr 5\n"


def test_json_ends_with_the_runs_end(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start().write(b"x").end(1)
    with live(collector, "logs", "-f", driver.node.run_id, "-o", "json") as shown:
        assert shown.end() == 0
    documents = [json.loads(line) for line in shown.out.splitlines()]
    assert documents[0]["line"] == "x"
    assert documents[1] == {"status": "Failed", "exit_code": 1}


def test_ctrl_c_leaves_with_130_and_says_how_to_go_on(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start().write(b"x\nunfinished")
    with live(collector, "logs", "-f", driver.node.run_id) as shown:
        shown.until(out=b"x\n")
        shown.process.send_signal(signal.SIGINT)
        assert shown.end() == 130
    assert f"runyard logs -f {driver.node.run_id}".encode() in shown.err
    assert shown.out == b"x\nunfinished"


def test_ctrl_c_while_waiting_leaves_with_130(collector: CollectorProcess) -> None:
    with live(collector, "logs", "-f", "never") as shown:
        shown.until(err=b"waiting")
        shown.process.send_signal(signal.SIGINT)
        assert shown.end() == 130


def test_a_token_that_is_taken_away_ends_it(collector: CollectorProcess) -> None:
    client = collector.client()
    token = client.json("POST", "/tokens", {"kind": "user", "subject": "eve"})
    driver = Driver(Node(collector)).start().write(b"x\n")
    with live(collector, "logs", "-f", driver.node.run_id, RUNYARD_TOKEN=token["token"]) as shown:
        shown.until(out=b"x\n")
        client.json("DELETE", f"/tokens/{token['token_id']}")
        collector.restart()
        assert shown.end() == 2


def test_on_a_terminal_a_bar_is_redrawn_in_place(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start()
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        command("logs", "-f", driver.node.run_id), env=environment(collector), stdout=follower, stderr=subprocess.DEVNULL
    )
    os.close(follower)
    try:
        driver.write(b"\r 10%\r 20%")
        text = read_until(leader, b"\r 20%\x1b[K")
        driver.write(b"\r 30%")
        text += read_until(leader, b"\r 30%\x1b[K")
        driver.write(b"\r100%\ndone\n").end()
        text += read_until(leader, b"\r\x1b[K100%\r\ndone\r\n")
        assert b"10%" not in text
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(leader)


def read_until(descriptor: int, text: bytes) -> bytes:
    found, deadline = b"", time.monotonic() + 20
    while text not in found:
        assert time.monotonic() < deadline, found
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if poll.poll(200):
            found += os.read(descriptor, 65536)
    return found


def test_a_run_of_several_nodes_is_followed_by_rank(collector: CollectorProcess) -> None:
    first = Node(collector, ip="10.0.0.1")
    driver = Driver(first, 0, world_size=2).start().write(b"rank 0\n")
    with live(collector, "logs", "-f", first.run_id) as shown:
        shown.until(out=b"rank 0\n")
        # The second node changes how the API names the first one's files.
        second = Node(collector, run_id=first.run_id, ip="10.0.0.2", create=False)
        second.run_token = first.run_token
        other = Driver(second, 1, world_size=2).start().write(b"rank 1\n")
        driver.write(b"rank 0 again\n").end()
        other.end()
        assert shown.end() == 0
    assert shown.out == b"rank 0\nrank 0 again\n"
    assert names.driver_log(1, 2) == other.log


@pytest.mark.row("A4")
def test_rank_0_is_waited_for_where_another_one_is_there_first(collector: CollectorProcess) -> None:
    first = Node(collector, ip="10.0.0.1", node_count=2, world_size=2)
    second = Node(collector, run_id=first.run_id, ip="10.0.0.2", create=False)
    second.run_token = first.run_token
    later = Driver(second, 1, world_size=2).start().write(b"rank 1\n")
    with live(collector, "logs", "-f", first.run_id) as shown:
        shown.until(err=b"has no driver log yet")
        driver = Driver(first, 0, world_size=2).start().write(b"rank 0\n")
        shown.until(out=b"rank 0\n")
        driver.end()
        later.end()
        assert shown.end() == 0
    assert shown.out == b"rank 0\n"
