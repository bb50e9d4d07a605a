"""`runyard submit`, `cancel`, `nodes`, `clusters`, `drain` and `resume`, as a person uses them. Nodes are pretend agents."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.scene import lines, live, runyard
from tests.collector.cluster.pretend import Agent, cluster_name
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for


@pytest.fixture
def collector(standing_collector: CollectorProcess) -> CollectorProcess:
    return standing_collector


@pytest.fixture
def cluster() -> str:
    return cluster_name()


def done(collector: CollectorProcess, *words: str, cache: Path | None = None) -> str:
    """What a verb that has to succeed says on stdout."""
    found = runyard(collector, *words, RUNYARD_ENVIRONMENT__CACHE_DIR=str(cache or "/nonexistent"))
    assert found.returncode == 0, found.stderr
    return found.stdout.decode().strip()


def refused(collector: CollectorProcess, *words: str, **options: Any) -> str:
    """The one sentence of a verb that refuses its input."""
    found = runyard(collector, *words, **options)
    assert (found.returncode, found.stdout, found.stderr.count(b"\n")) == (2, b"", 1), found
    return found.stderr.decode()


def token(collector: CollectorProcess, cluster: str, *flags: str) -> str:
    return done(collector, "clusters", "token", cluster, *flags)


def agent(collector: CollectorProcess, cluster: str, **fields: Any) -> Agent:
    """A node that has joined with a token of the command line's."""
    joined = Agent(collector, cluster, token=token(collector, cluster), **fields)
    joined.say()
    return joined


def order_of(node: Agent, run_id: str) -> dict[str, Any]:
    """The run as the node is told of it."""

    def look() -> list[dict[str, Any]]:
        node.say()
        return [one for one in node.work()["assignments"] if one["run_id"] == run_id]

    return wait_for(look, f"{run_id} is given to the node")[0]


@pytest.mark.row("C6")
def test_a_run_is_queued_shown_and_given_to_a_node_with_all_that_was_asked(
    collector: CollectorProcess, cluster: str, tmp_path: Path
) -> None:
    token(collector, cluster)
    (tmp_path / "code").mkdir()
    (tmp_path / "code/train.py").write_text("print(1)\n")
    node = agent(collector, cluster)
    done(collector, "drain", node.node_id, "--reason", "new disks")
    flags = ["--gpus", "2", "--cpus", "3", "--memory", "4g", "--priority", "7", "--retries", "1", "--max-queue-time", "1d"]
    flags += ["--user", "ada", "--tag", "k=v", "--env", "A=b", "--experiment", "digits", "--retries", "preparation=2"]
    flags += ["--code", str(tmp_path / "code"), "--nproc-per-node", "2"]
    run_id = done(collector, "submit", "--cluster", cluster, *flags, "--", "python", "train.py", cache=tmp_path / "cache")
    assert re.fullmatch(r"digits_\d+_[0-9a-f]{8}", run_id)

    assert done(collector, "show", run_id).startswith(f"{run_id}  Queued")
    table = lines(done(collector, "ps", "--experiment", "digits"))
    assert table[0].split("  ")[-1].strip() == "WAITS FOR"
    assert " Queued " in table[1]
    queue = json.loads(done(collector, "clusters", cluster, "-o", "json"))
    assert (queue["queued"], queue["active"], [one["run"]["run_id"] for one in queue["runs"]]) == (1, 0, [run_id])
    row = lines(done(collector, "clusters", cluster))[-1]
    assert row.split()[:4] == [run_id, "Queued", "7", "1"]
    assert "3 CPUs, 4.3 GB, 2 GPUs" in row

    done(collector, "resume", node.node_id)
    given = order_of(node, run_id)
    assert given["request"] == {"gpus": 2, "cpus": 3.0, "memory_bytes": 4 << 30}
    spec = given["order"]["spec"]
    assert (spec["command"], spec["env"], spec["tags"]) == (["python", "train.py"], {"A": "b"}, {"k": "v"})
    assert (spec["distribution"]["processes_per_node"], spec["retries"]["preparation"]) == (2, 2)
    assert given["order"]["user"] == "ada"
    snapshot = given["order"]["snapshot"]
    with collector.client().stream("GET", f"/snapshots/{snapshot['id']}") as response:
        assert len(response.read()) == snapshot["size_bytes"]


@pytest.mark.row("C7")
def test_a_run_that_waits_is_cancelled_at_once_and_only_once(collector: CollectorProcess, cluster: str) -> None:
    node = agent(collector, cluster)
    done(collector, "drain", node.node_id)
    run_id = done(collector, "submit", "--cluster", cluster, "--", "true")
    assert done(collector, "cancel", run_id, "--reason", "a typo") == f"{run_id} Canceled"
    text = done(collector, "show", run_id)
    assert text.startswith(f"{run_id}  Canceled")
    assert "a typo" in text
    assert done(collector, "cancel", run_id) == f"{run_id} Canceled"
    assert "there is no run 'nothing'" in refused(collector, "cancel", "nothing")
    two = runyard(collector, "cancel", "nothing", run_id)
    assert (two.returncode, two.stdout.decode()) == (2, f"{run_id} Canceled\n")


@pytest.mark.row("C7")
def test_who_follows_a_run_is_told_what_it_waits_for_and_ends_when_it_is_cancelled(
    collector: CollectorProcess, cluster: str
) -> None:
    node = agent(collector, cluster)
    done(collector, "drain", node.node_id)
    with live(collector, "submit", "--cluster", cluster, "--run-id", f"{cluster}-f", "-f", "--", "true") as follower:
        follower.until(err=b"waiting: ")
        done(collector, "cancel", f"{cluster}-f")
        assert follower.end() == 1
    assert b"is Canceled" in follower.err
    assert follower.out == b""


def test_nodes_are_shown_with_what_they_have_and_why_they_are_drained(collector: CollectorProcess, cluster: str) -> None:
    node = agent(collector, cluster, hostname=f"{cluster}-n1")
    node.say("Unusable", reason="a mount is left at /mnt/x", sample={"cpu_percent": 12.5})
    head, row = lines(done(collector, "nodes", "--cluster", cluster))
    assert head.split()[:5] == ["NODE", "CLUSTER", "HOST", "IP", "STATUS"]
    assert row.split()[:5] == [node.node_id, cluster, f"{cluster}-n1", "10.77.0.11", "Unusable"]
    assert "a mount is left at /mnt/x" in row
    said = done(collector, "drain", f"{cluster}-n1", "--reason", "new disks")
    assert said == f"{node.node_id} Unusable, drained"
    text = done(collector, "nodes", node.node_id)
    for words in ("Unusable, drained", "new disks", "8 CPUs", "2 GPUs H100", "cpu_percent", "12.5"):
        assert words in text
    assert done(collector, "resume", node.node_id) == f"{node.node_id} Unusable"
    assert "1 Unusable" in done(collector, "clusters", cluster)
    assert done(collector, "nodes", node.node_id, "--forget") == f"{node.node_id} is forgotten"
    assert node.call("GET", "/work?seen=0&wait_s=0").status == 401
    assert f"there is no node '{node.node_id}'" in refused(collector, "nodes", node.node_id)


def test_a_join_token_is_good_for_as_many_nodes_as_was_said(collector: CollectorProcess, cluster: str) -> None:
    made = runyard(collector, "clusters", "token", cluster, "--uses", "2", "--valid", "2h")
    assert b"2 times" in made.stderr
    word = made.stdout.decode().strip()
    assert [Agent(collector, cluster, join=False).join(word).status for _ in range(3)] == [201, 201, 401]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("submit", "--cluster", "{cluster}", "--nodes", "3", "--", "true"), "1 node"),
        (("submit", "--cluster", "{cluster}", "--gpus", "9", "--", "true"), "2 GPUs"),
        (("submit", "--cluster", "{cluster}", "--gpus", "auto", "--", "true"), "--gpus auto is for `runyard run`"),
        (("submit", "--cluster", "{cluster}", "--memory", "8x", "--", "true"), "512m or 8g"),
        (("submit", "--cluster", "{cluster}", "--retries", "x", "--", "true"), "whole number from 0 to 1000"),
        (("submit", "--cluster", "{cluster}", "--priority", "1001", "--", "true"), "from -1000 to 1000"),
        (("submit", "--cluster", "{cluster}", "--cwd", "here", "--", "true"), "absolute path"),
        (("submit", "--cluster", "{cluster}"), "there is no command to run"),
        (("submit", "--cluster", "nowhere", "--", "true"), "nowhere"),
        (("drain", "{cluster}"), "there is no node"),
        (("clusters", "token"), "the cluster is missing"),
        (("clusters", "token", "a b"), "the name of a cluster"),
        (("clusters", "token", "{cluster}", "--valid", "soon"), "no length of time"),
        (("clusters", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_is_one_sentence(collector: CollectorProcess, words: tuple[str, ...], sentence: str, known: str) -> None:
    assert sentence in refused(collector, *(word.format(cluster=known) for word in words))


@pytest.fixture(scope="module")
def known(standing_collector: CollectorProcess) -> str:
    """A cluster with one node."""
    name = cluster_name()
    agent(standing_collector, name)
    return name


def test_a_run_id_that_is_taken_is_refused(collector: CollectorProcess, cluster: str) -> None:
    agent(collector, cluster)
    words = ("submit", "--cluster", cluster, "--run-id", f"{cluster}-1", "--")
    done(collector, *words, "true")
    assert "choose another run id" in refused(collector, *words, "false")


def test_help_is_there_for_each_verb(collector: CollectorProcess) -> None:
    for verb in ("submit", "cancel", "nodes", "clusters", "drain", "resume", "pin", "unpin"):
        assert done(collector, verb, "--help").startswith(f"usage: runyard {verb}")
