"""What a run is asked to be: a description that is pasted, a run that is only checked, and an order that is given out again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard import spec as specs
from runyard.collector.cluster import described
from runyard.errors import InputError
from tests.collector.node import Node, call
from tests.collector_process import CollectorProcess

from .fleet import fleet, listed, submit, submitted, whoever

TOML = """
command = ["python", "train.py", "--lr", "0.1"]
experiment = "digits"
env = { DEPTH = "3" }
[environment]
requirements = ["numpy==2.1.0"]
[resources]
gpus = 2
[distribution]
nodes = 2
"""


def describe(collector: CollectorProcess, text: str) -> Any:
    return call(collector, "POST", "/api/v1/descriptions", {"toml": text})


def why(collector: CollectorProcess, cluster: str, spec: dict[str, Any], **fields: Any) -> str:
    body = {"run_id": "checked", "order": {"spec": spec}} | fields
    answer = call(collector, "POST", f"/api/v1/clusters/{cluster}/checks", body)
    assert answer.status == 200, answer.data
    return str(answer.json["why"])


def test_a_pasted_description_is_answered_with_what_it_describes(collector: CollectorProcess) -> None:
    found = describe(collector, TOML).json
    spec = specs.from_json(found["spec"])
    assert (spec.command, spec.experiment, spec.env) == (("python", "train.py", "--lr", "0.1"), "digits", {"DEPTH": "3"})
    assert (spec.environment.kind, spec.environment.requirements) == ("venv", "numpy==2.1.0\n")
    assert (found["node_count"], found["request"]["gpus"]) == (2, 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = 'a'\ncwd == 2", ["TOML", "line 2"]),
        ("commnd = ['x']", ["commnd", "did you mean 'command'"]),
        ("command = 'x'", ["command", "list"]),
        ("code = '.'", ["code", "your machine"]),
        ("cwd = 'here'", ["cwd", "absolute"]),
        ("cwd = '~'", ["cwd", "absolute"]),
        ("[environment]\nrequirements = '/etc/hostname'", ["environment.requirements", "list"]),
        ("[environment]\nrequirements = ['-r /etc/hostname']", ["environment.requirements", "names a file"]),
        ('[environment]\nrequirements = ["-\\\\", "r /etc/hostname"]', ["environment.requirements", "names a file"]),
        ('[environment]\nrequirements = ["#\\\\", "-r /etc/hostname"]', ["environment.requirements", "names a file"]),
        ("[environment]\ncontainerfile = 'Containerfile'", ["environment.containerfile", "absolute"]),
        ("[datastores.d]\nurl = 'data'", ["datastores.d.url", "absolute"]),
        ("[datastores.d]\nurl = 's3://b'\nsecrets = { key = 'file:k' }", ["datastores.d.secrets.key", "absolute"]),
    ],
)
def test_what_cannot_be_pasted_is_refused_with_its_place_and_no_file_of_the_collector_is_read(
    collector: CollectorProcess, text: str, words: list[str]
) -> None:
    answer = describe(collector, text)
    assert (answer.status, answer.json["code"]) == (400, "invalid")
    assert all(word in answer.json["detail"] for word in words), answer.json["detail"]


@given(st.lists(st.text("-rc \\#a\n/'\"=", max_size=8), max_size=4))
def test_no_way_of_writing_a_requirement_makes_the_collector_read_a_file(lines: list[str]) -> None:
    quoted = ", ".join('"' + line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"' for line in lines)
    text = f"[environment]\nkind = 'venv'\nrequirements = [{quoted}]"
    try:
        spec = described.read(text)
    except InputError:
        with pytest.raises(InputError, match="names a file"):
            described.read(text)
        return
    assert spec.environment.requirements == "".join(f"{line}\n" for line in lines)


def test_a_run_that_is_only_checked_is_told_what_is_wrong_and_nothing_is_submitted(collector: CollectorProcess) -> None:
    cluster = fleet(collector, 1)[0].cluster
    good = {"command": ["python", "train.py"]}
    assert why(collector, cluster, good) == ""
    assert "no command" in why(collector, cluster, {})
    assert "environment.image 'no image!'" in why(
        collector, cluster, good | {"environment": {"kind": "container", "image": "no image!"}}
    )
    assert "2 nodes" in why(collector, cluster, good, node_count=2)
    assert "not at the collector" in why(
        collector, cluster, good | {"code": "/c"}, order={"spec": good | {"code": "/c"}, "snapshot": {"id": "0" * 64}}
    )
    assert "was not sent" in why(collector, cluster, good | {"code": "/c", "cwd": "sub"})
    assert "no cluster" in why(collector, "nowhere", good)
    taken = submitted(collector, cluster)
    assert "already" in why(collector, cluster, good, run_id=taken)
    assert [one["run"]["run_id"] for one in listed(collector, cluster)] == [taken]


def test_an_order_is_given_out_again_without_what_may_be_a_secret(collector: CollectorProcess) -> None:
    cluster = fleet(collector, 1)[0].cluster
    store = {"name": "d", "url": "s3://bucket", "secrets": {"account": "env:PLAIN"}}
    env = {"DEPTH": "3", "WANDB_API_KEY": "abc", "PLAIN": "xyz"}
    run_id = submitted(collector, cluster, spec={"env": env, "datastores": [store]}, priority=4, request={"gpus": 1, "cpus": 2})
    found = collector.client().json("GET", f"/runs/{run_id}/order")
    assert found["order"]["spec"]["env"] == {"DEPTH": "3", "WANDB_API_KEY": "", "PLAIN": ""}
    assert found["withheld"] == ["PLAIN", "WANDB_API_KEY"]
    assert (found["cluster"], found["priority"], found["request"]["gpus"]) == (cluster, 4, 1)


def test_a_run_of_no_queue_has_no_order_and_a_runs_token_is_given_none(collector: CollectorProcess) -> None:
    node = Node(collector)
    answer = call(collector, "GET", f"/api/v1/runs/{node.run_id}/order")
    assert (answer.status, answer.json["code"]) == (404, "no-order")
    assert "where it was started" in answer.json["detail"]
    assert call(collector, "GET", f"/api/v1/runs/{node.run_id}/order", token=node.run_token).status == 403


def test_a_cluster_tells_how_many_of_its_gpus_are_taken(collector: CollectorProcess) -> None:
    machines = fleet(collector, 2)
    cluster = machines[0].cluster

    def taken() -> int:
        return int(collector.client().json("GET", f"/clusters/{cluster}")["gpus_taken"])

    assert taken() == 0
    shared = whoever(machines, submitted(collector, cluster, request={"gpus": 1, "cpus": 1}))
    assert taken() == 1
    whole = whoever(machines, submitted(collector, cluster))  # the other node, for itself
    assert taken() == 3
    shared.finish()
    whole.finish()
    assert taken() == 0


def test_what_a_run_submits_is_its_own_users_whichever_descendant_it_is_for(collector: CollectorProcess) -> None:
    (machine,) = fleet(collector, 1)
    part = machine.take(submitted(collector, machine.cluster, order={"spec": {"command": ["true"]}, "user": "ada"}))
    child, token = f"{part.run_id}_child", part.run_token
    line = f'["c","{child}","","","child","",1000]\n'
    collector.client(token).send("POST", f"/runs/{part.run_id}/records", line.encode(), "application/x-ndjson")
    made = []
    for parent in (child, part.run_id):
        for user, status in (("root", 403), ("", 201), ("ada", 201)):
            order = {"spec": {"command": ["true"]}, "user": user}
            answer = submit(collector, machine.cluster, token=token, order=order, parent_run_id=parent)
            assert answer.status == status, answer.data
            made += [answer.json["run_id"]] if status == 201 else []
    part.finish()
    assert machine.take(made[0]).order["order"]["user"] == "ada"
