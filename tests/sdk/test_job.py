"""The run that a process belongs to: in a job, in its children, on several ranks; and offline."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent.node_runs import NodeRun

from .recorded import Job, records_of, values_of

LOG_RANK = (
    "import os, subprocess, sys\nfrom runyard import Run\nrun = Run.get_context(allow_offline=False)\n"
    "assert Run.get_context() is run\nrun.log('rank', int(os.environ['RUNYARD_RANK']))\n"
    "child = 'from runyard import Run; run = Run.get_context(False); run.log(\"child\", run.id)'\n"
    "subprocess.run([sys.executable, '-c', child], check=True)\n"
)


def journals_of(run: NodeRun) -> list[list[object]]:
    """The records of each journal in a run's spool."""
    return [records_of(path) for path in sorted(run.path(".runyard/tracking").glob("*.jsonl"))]


def test_each_rank_and_each_child_of_a_job_logs_to_the_job(tmp_path: Path) -> None:
    run = NodeRun(tmp_path / "spool", sys.executable, "-c", LOG_RANK, flags=("--nproc-per-node", "2"))
    done = run.complete()
    assert done.returncode == 0, done.stderr
    journals = journals_of(run)
    assert sorted(map(repr, (values_of(journal, "rank") or values_of(journal, "child") for journal in journals))) == [
        "['r']",
        "['r']",
        "[0]",
        "[1]",
    ]


def test_a_script_that_belongs_to_no_run_keeps_what_it_logs(tmp_path: Path) -> None:
    job = Job(tmp_path)
    del job.env["RUNYARD_RUN_ID"]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import json\nfrom runyard import Run\nrun = Run.get_context()\nassert Run.get_context() is run\n"
            "run.log('loss', 1.5)\nrun.log('acc', 1)\nrun.log('acc', 2)\nrun.log_row('t', x=1)\nrun.tag('k', 'v')\n"
            "child = run.child_run('kid')\nchild.log('deep', 3)\nchild.complete()\n"
            "assert run.flush() is True\n"
            "print(json.dumps([run.id, run.get_metrics(), run.get_metrics(as_lists=True), run.get_tags(),"
            " [c.get_metrics() for c in run.get_children()], child.parent is run]))",
        ],
        env=job.env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run_id, metrics, lists, tags, deep, is_parent = json.loads(done.stdout)
    assert run_id.startswith("OfflineRun_")
    assert metrics == {"loss": 1.5, "acc": [1, 2], "t": {"x": 1}}
    assert lists == {"loss": [1.5], "acc": [1, 2], "t": {"x": [1]}}
    assert (tags, deep, is_parent) == ({"k": "v"}, [{"deep": 3}], True)
    assert done.stderr == (
        f"runyard: this process belongs to no run: RUNYARD_RUN_ID is not set; what it records as {run_id} stays here\n"
    )


def test_an_offline_runs_files_lie_in_a_folder_here_under_their_names(tmp_path: Path) -> None:
    job = Job(tmp_path)
    del job.env["RUNYARD_RUN_ID"]
    (tmp_path / "cat.png").write_bytes(b"a cat")
    script = (
        "import os, sys\nos.chdir(sys.argv[1])\nfrom runyard import Run\nrun = Run.get_context()\n"
        "run.log_image('cat', path='cat.png')\n"
        "assert run.get_metrics(populate=True) == {'cat': b'a cat'}\nprint(run.get_metrics()['cat'])"
    )
    done = job.script(script, str(tmp_path))
    assert done.returncode == 0, done.stderr
    [kept] = tmp_path.glob("OfflineRun_*/cat_*.png")
    assert kept.read_bytes() == b"a cat"
    assert done.stdout == f"{kept.as_uri()}\n"


def test_without_a_run_and_without_offline_there_is_one_sentence(tmp_path: Path) -> None:
    job = Job(tmp_path)
    del job.env["RUNYARD_RUN_ID"]
    done = job.script("from runyard import Run\nRun.get_context()\nRun.get_context(allow_offline=False)")
    assert "RUNYARD_RUN_ID is not set; start it by `runyard run`, or allow an offline run" in done.stderr


def test_a_job_that_cannot_tell_where_to_write_says_so(tmp_path: Path) -> None:
    job = Job(tmp_path)
    del job.env["RUNYARD_TRACKING_DIR"]
    job.env["PWD"] = str(tmp_path)
    done = job.script("from runyard import Run\nrun = Run.get_context()\nrun.log('a', 1)\nprint(run.id[:11])")
    assert done.stdout == "OfflineRun_\n"
    assert "it belongs to run r, and neither RUNYARD_TRACKING_DIR nor RUNYARD_COLLECTOR_URL is set" in done.stderr
    done = job.script("from runyard import Run\nRun.get_context(allow_offline=False)")
    assert "InputError: this process cannot record: it belongs to run r, and neither" in done.stderr


@pytest.mark.parametrize("end", ["complete()", "fail('it broke')", "cancel()"])
def test_what_a_training_says_of_its_own_end_does_not_count(tmp_path: Path, end: str) -> None:
    script = f"from runyard import Run\nrun = Run.get_context()\nrun.{end}\nrun.log('after', 1)"
    run = NodeRun(tmp_path / "spool", sys.executable, "-c", script)
    assert run.complete().returncode == 0
    assert run.state()["status"] == "Completed"
    [journal] = journals_of(run)
    assert values_of(journal, "after") == [1]
    assert run.log().count(b"runyard: ") == 1


def test_importing_runyard_imports_the_standard_library_at_most(tmp_path: Path) -> None:
    job = Job(tmp_path)
    done = job.script("import sys\nbefore = set(sys.modules)\nimport runyard\nprint(*set(sys.modules) - before)")
    assert done.stdout.split() == ["runyard"]
    done = job.script(
        "import sys\nfrom runyard import Run\nrun = Run.get_context()\nrun.log('a', 1)\n"
        "known = sys.stdlib_module_names\nprint(*(name for name in sys.modules if name.partition('.')[0] not in known))"
    )
    assert all(name.startswith(("runyard", "sitecustomize", "__", "_distutils_hack")) for name in done.stdout.split()), (
        done.stdout
    )


def test_a_name_that_runyard_does_not_have_is_an_attribute_error(tmp_path: Path) -> None:
    done = Job(tmp_path).script("import runyard\nassert 'Experiment' in dir(runyard)\nrunyard.Experimnet")
    assert done.stderr.splitlines()[-1].startswith("AttributeError: module 'runyard' has no attribute 'Experimnet'")
