"""Trainings that log, as users write them, in a real run with a real collector; and notebooks that read and go on with them."""

from __future__ import annotations

import json
import math
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runyard import Experiment, Run, Workspace
from runyard.errors import InputError
from tests.agent.node_runs import NodeRun
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

HEAD = "import json, os, sys\nfrom runyard import Run\nrun = Run.get_context(allow_offline=False)\n"


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """One for all of these tests, whose runs have ids of their own; it is there again when a test has stopped it."""
    with running_collector(tmp_path_factory.mktemp("tracked")) as process:
        yield process


def training(
    tmp_path: Path, collector: CollectorProcess, script: str, *arguments: str, run_id: str = "", **env: str
) -> NodeRun:
    """A `runyard run` of a script, in the experiment digits."""
    known = {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token} | env
    flags = ("--experiment", "digits")
    return NodeRun(
        tmp_path / "spool",
        sys.executable,
        "-c",
        HEAD + script,
        *arguments,
        run_id=run_id or tmp_path.name,
        flags=flags,
        env=known,
    )


def fetched(collector: CollectorProcess, run_id: str) -> Run:
    """The run as a notebook has it."""
    return Run(Experiment(Workspace(collector.url, collector.token), "digits"), run_id)


def printed(run: NodeRun) -> Any:
    """What the training has printed as JSON in its last line."""
    done = run.complete()
    assert done.returncode == 0, done.stderr
    return _json(run)


def _json(run: NodeRun) -> Any:
    return json.loads(next(line for line in run.log().decode().splitlines() if line.startswith(("[", "{"))))


@pytest.mark.row("B6")
def test_a_training_logs_and_it_and_a_notebook_read_the_same(tmp_path: Path, collector: CollectorProcess) -> None:
    script = (
        "run.log('accuracy', 0.9)\n"
        "for step in range(3): run.log('loss', 1 / (step + 1), step=step)\n"
        "run.log_list('lr', [0.1, 0.01])\nrun.log_row('one', x=1, y='a')\n"
        "run.log_table('many', {'x': [1, 2], 'y': [0.5, None]})\nrun.log_row('gaps', x=1)\nrun.log_row('gaps', y=2)\n"
        "run.log('note', 'NaN')\nrun.log('bad', float('nan'))\n"
        "run.log_params({'depth': 3, 'name': 'x'})\n"
        "run.tag('stage', 'dev')\nrun.set_tags({'a': 1, 'b': 2})\nrun.remove_tags('b')\n"
        "run.add_properties({'sha': 'abc'})\n"
        "print(json.dumps([run.get_metrics(), run.get_metrics('loss'), run.get_tags(), run.get_properties(), run.id]))"
    )
    metrics, loss, tags, properties, run_id = printed(training(tmp_path, collector, script))
    expected = {
        "accuracy": 0.9,
        "loss": [1.0, 0.5, 1 / 3],
        "lr": [0.1, 0.01],
        "one": {"x": 1, "y": "a"},
        "many": {"x": [1, 2], "y": [0.5, None]},
        "gaps": {"x": [1, None], "y": [None, 2]},
        "note": "NaN",
        "bad": math.nan,
    }
    run = fetched(collector, run_id)
    for found in (metrics, run.get_metrics()):
        assert repr(found.pop("bad")) == "nan"
        assert found == {name: value for name, value in expected.items() if name != "bad"}
    assert loss == {"loss": expected["loss"]}
    assert run.get_metrics("accuracy", as_lists=True) == {"accuracy": [0.9]}
    assert run.get_metrics("one", as_lists=True) == {"one": {"x": [1], "y": ["a"]}}
    assert tags["stage"] == run.get_tags()["stage"] == "dev"
    assert tags["a"] == "1"
    assert "b" not in tags
    assert properties == run.get_properties() == {"sha": "abc"}


@pytest.mark.row("B1")
def test_metrics_are_read_while_the_training_runs(tmp_path: Path, collector: CollectorProcess) -> None:
    script = "run.log('loss', 0.5)\nimport time\ntime.sleep(60)"
    run = training(tmp_path, collector, script)
    process = run.start()
    notebook = fetched(collector, tmp_path.name)
    assert wait_for(notebook.get_metrics, "the metric of a run that runs") == {"loss": 0.5}
    process.terminate()
    process.communicate(timeout=30)


def test_all_that_has_returned_before_a_kill_is_at_the_collector(tmp_path: Path, collector: CollectorProcess) -> None:
    script = (
        "import signal\nfor number in range(10_000): run.log('loss', number * 0.1, step=number)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    run = training(tmp_path, collector, script)
    assert run.complete().returncode == 128 + 9
    points = collector.client().json("GET", f"/runs/{tmp_path.name}/metrics/values", params={"name": "loss", "limit": 20_000})[
        "points"
    ]
    assert [(point["value"], point["step"]) for point in points] == [(number * 0.1, number) for number in range(10_000)]


def test_a_training_without_its_collector_reads_what_it_has_logged_and_loses_nothing(
    tmp_path: Path, collector: CollectorProcess
) -> None:
    script = (
        "import time\ngo = sys.argv[1]\nrun.log('loss', 1)\nassert run.flush(30)\nprint('flushed', flush=True)\n"
        "while not os.path.exists(go): time.sleep(0.01)\n"
        "run.log('loss', 2)\nchild = run.child_run('kid')\nchild.log('deep', 3)\n"
        "flushed = run.flush(0.2)\n"
        "res = {'schema_type': 'residuals', 'schema_version': '1.0.0', 'data': {'bin_edges': [0, 1], 'bin_counts': [2]}}\n"
        "child.log_residuals('res', res)\n"
        "assert child.get_metrics(populate=True) == {'deep': 3, 'res': res}\n"
        "print(json.dumps([run.get_metrics(recursive=True), flushed, child.id]))"
    )
    go = tmp_path / "go"
    run = training(tmp_path, collector, script, str(go), RUNYARD_RUN__DRAIN_S="1")
    process = run.start()
    wait_for(lambda: b"flushed" in run.log(), "the first record at the collector")
    collector.stop()
    go.touch()
    process.communicate(timeout=60)
    text = run.log().decode()
    metrics, is_flushed, child_id = _json(run)
    address = f"{collector.url}/api/v1/runs/{child_id}/artifacts/res"
    assert metrics == {tmp_path.name: {"loss": [1, 2]}, child_id: {"deep": 3, "res": address}}
    assert is_flushed is False
    assert "is read from the records on this node" in text
    assert "the node's agent sends it" in text
    collector.start()
    subprocess.run([sys.executable, "-m", "runyard", "ship"], env=run.env, check=True, capture_output=True)
    notebook = fetched(collector, tmp_path.name)
    wait_for(lambda: notebook.get_metrics(recursive=True) == metrics, "the records")


def test_children_are_made_in_a_job_and_found_in_a_notebook(tmp_path: Path, collector: CollectorProcess) -> None:
    script = (
        "first = run.child_run('first')\nfirst.log('score', 1)\nfirst.tag('k', 'v')\n"
        "second, third = run.create_children(tag_key='lr', tag_values=['0.1', '0.2'])\n"
        "second.start()\nsecond.log('score', 2)\nsecond.fail('it diverged', 'UserError')\nthird.cancel()\n"
        "deep = first.child_run('deep')\ndeep.complete()\nfirst.complete()\n"
        "names = [c.id for c in run.get_children()]\nassert names == [third.id, second.id, first.id], names\n"
        "assert {c.id for c in run.get_children(recursive=True)} == {*names, deep.id}\n"
        "assert [c.id for c in run.get_children(tags={'lr': '0.2'})] == [third.id]\n"
        "assert deep.parent.id == first.id\n"
        "print(json.dumps([first.id, second.id, third.id, deep.id]))"
    )
    first, second, third, deep = printed(training(tmp_path, collector, script))
    run = fetched(collector, tmp_path.name)
    statuses = {child.id: child.get_status() for child in run.get_children(recursive=True)}
    assert statuses == {first: "Completed", second: "Failed", third: "Canceled", deep: "Completed"}
    assert [child.id for child in run.get_children(status="Failed")] == [second]
    assert run.get_metrics(recursive=True)[second] == {"score": 2}
    parent = fetched(collector, deep).parent
    assert parent is not None
    assert parent.id == first


def test_files_of_metrics_are_named_after_them_and_read_back(tmp_path: Path, collector: CollectorProcess) -> None:
    script = (
        "class Plot:\n    def savefig(self, file, format): file.write(b'\\x89PNG ' + format.encode())\n"
        "run.log_image('curve', plot=Plot())\n"
        "matrix = {'schema_type': 'confusion_matrix', 'schema_version': '1.0.0',"
        " 'data': {'class_labels': ['a', 'b'], 'matrix': [[3, 1], [0, 2]]}}\n"
        "run.log_confusion_matrix('matrix', matrix)\n"
        "run.log_residuals('res', json.dumps({'schema_type': 'residuals', 'schema_version': '1.0.0',"
        " 'data': {'bin_edges': [1, 2, 3], 'bin_counts': [4, float('inf')]}}))\n"
        "found = run.get_metrics(populate=True)\nfound['curve'] = found['curve'].decode('latin-1')\nprint(json.dumps(found))"
    )
    found = printed(training(tmp_path, collector, script))
    assert found["curve"].encode("latin-1") == b"\x89PNG png"
    assert found["matrix"]["data"]["matrix"] == [[3, 1], [0, 2]]
    assert found["res"]["data"]["bin_counts"] == [4, "Infinity"]
    run = fetched(collector, tmp_path.name)
    addresses = run.get_metrics()
    assert addresses["matrix"] == f"{collector.url}/api/v1/runs/{tmp_path.name}/artifacts/matrix"
    assert {"matrix", "res", addresses["curve"].rpartition("/")[2]} <= set(run.get_file_names())
    assert run.get_metrics("matrix", populate=True) == {"matrix": found["matrix"]}


def test_a_notebook_logs_to_a_run_that_it_has_fetched_and_a_collector_that_is_away_costs_nothing(
    tmp_path: Path, collector: CollectorProcess
) -> None:
    assert training(tmp_path, collector, "run.log('loss', 1)").complete().returncode == 0
    run = fetched(collector, tmp_path.name)
    for number in range(100):
        run.log("later", number)
    collector.kill()
    for number in range(100, 200):
        run.log("later", number)
    assert run.flush(0.1) is False
    collector.start()
    assert run.flush(30) is True
    run.log("later", 200)
    assert run.get_metrics("later") == {"later": list(range(201))}
    with pytest.raises(InputError):
        run.log("later", [1])


def test_a_notebook_that_ends_before_its_collector_is_back_says_what_is_not_sent() -> None:
    script = (
        "import sys\nfrom runyard import Experiment, Run, Workspace\n"
        "run = Run(Experiment(Workspace(sys.argv[1], 'a-secret'), 'digits'), 'gone')\n"
        "for number in range(3): run.log('late', number)\nassert run.flush(0.2) is False"
    )
    with socket.socket() as taken:  # nobody listens there
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "run gone: 3 records are not sent (" in done.stderr.splitlines()[-1]
    assert "a-secret" not in done.stderr


def test_what_a_worker_of_multiprocessing_logs_to_a_fetched_run_is_there_when_it_has_ended(
    tmp_path: Path, collector: CollectorProcess
) -> None:
    assert training(tmp_path, collector, "pass").complete().returncode == 0
    script = (
        "import multiprocessing, sys\nfrom runyard import Experiment, Run, Workspace\n"
        "run = Run(Experiment(Workspace(*sys.argv[1:3]), 'digits'), sys.argv[3])\n"
        "def outer(number):\n    worker = fork.Process(target=run.log, args=('worker', number))\n"
        "    worker.start()\n    worker.join()\n    run.log('outer', number)\n"
        "fork = multiprocessing.get_context('fork')\n"
        "workers = [fork.Process(target=outer, args=(number,)) for number in range(3)]\n"
        "[one.start() for one in workers]\n[one.join() for one in workers]\nassert not any(one.exitcode for one in workers)"
    )
    words = [sys.executable, "-c", script, collector.url, collector.token, tmp_path.name]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = fetched(collector, tmp_path.name).get_metrics()
    assert {name: sorted(values) for name, values in found.items()} == {"outer": [0, 1, 2], "worker": [0, 1, 2]}


def test_flush_says_so_when_the_collector_has_refused_what_was_recorded(
    collector: CollectorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fetched(collector, "nobody-knows-it")
    run.log("loss", 1)
    assert run.flush(30) is False
    assert "1 records were refused or dropped, and are lost" in capsys.readouterr().err


def test_what_the_collector_refuses_is_a_warning_of_the_run_and_the_rest_is_kept(
    tmp_path: Path, collector: CollectorProcess
) -> None:
    other = (
        "from runyard import Run; run = Run.get_context(); run.log_row('loss', x=1); run.log('mine', 2); run.log_param('lr', 3)"
    )
    script = (
        "import subprocess\nrun.log('loss', 1)\nrun.log_param('lr', 2)\nrun.flush()\n"
        f"subprocess.run([sys.executable, '-c', {other!r}])"
    )
    assert training(tmp_path, collector, script).complete().returncode == 0
    assert fetched(collector, tmp_path.name).get_metrics() == {"loss": 1, "mine": 2}
    warnings = collector.client().json("GET", f"/runs/{tmp_path.name}")["warnings"]
    assert len(warnings) == 2
    assert "'loss'" in warnings[0]
    assert "'lr'" in warnings[1]


def test_random_numbers_come_back_bit_for_bit(tmp_path: Path, collector: CollectorProcess) -> None:
    script = (
        "import random, struct\nrandom.seed(1)\n"
        "floats = [struct.unpack('d', random.randbytes(8))[0] for _ in range(2000)]\n"
        "floats += [0.0, -0.0, 5e-324, 1.7976931348623157e308, float('inf'), float('-inf'), float('nan')]\n"
        "ints = [random.randrange(-2**k, 2**k) for k in range(1, 900)]\n"
        "run.log_list('floats \\U0001f600 é', floats)\nrun.log_list('ints', ints)\n"
        "print(json.dumps([[struct.pack('d', f).hex() if f == f else 'nan' for f in floats], [str(n) for n in ints]]))"
    )
    floats, ints = printed(training(tmp_path, collector, script))
    found = fetched(collector, tmp_path.name).get_metrics()
    kept = found["floats \U0001f600 é"]
    assert [struct.pack("d", value).hex() if value == value else "nan" for value in kept] == floats
    assert [str(value) for value in found["ints"]] == ints
    assert all(type(value) is int for value in found["ints"])
