"""Release and the shipping: it waits until the logs are durable, with a limit, and says what is left."""

from __future__ import annotations

from pathlib import Path

from runyard import names
from tests.agent.phased_runs import is_there
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

from .conftest import NodeRunFactory
from .test_pipeline import node_folder, runyard


def released(run_dir: Path) -> str:
    (log,) = (run_dir / names.LOGS_DIR).glob("75_*")
    return log.read_text()


def test_release_waits_until_the_drivers_log_is_durable(collector: CollectorProcess, node_run: NodeRunFactory) -> None:
    run = node_run("sh", "-c", "seq 300000")
    assert run.complete().returncode == 0
    text = released(run.run_dir)
    assert "The logs are shipped" in text
    durable_bytes = int(text.partition("shipped: ")[2].partition(" ")[0])
    assert durable_bytes >= len(run.log())
    assert (node_folder(collector) / names.driver_log(0, 1)).read_bytes() == run.log()


def test_release_does_not_wait_for_a_collector_that_has_gone_and_says_what_is_left(
    collector: CollectorProcess, node_run: NodeRunFactory, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    run = node_run("sh", "-c", f"echo before; {is_there(go)}; seq 1000", env={"RUNYARD_RUN__DRAIN_S": "1"})
    process = run.start()
    wait_for(lambda: b"before" in runyard(collector, "logs", "r", check=False), "the first line at the collector")
    collector.kill()
    go.touch()
    process.communicate(timeout=60)
    assert run.final_state()["status"] == "Completed"
    text = released(run.run_dir)
    assert "bytes are not shipped yet" in text
    assert "cannot be reached" in text
    collector.restart()
    runyard(collector, "ship", "--spool", str(run.run_dir.parent))
    assert (node_folder(collector) / names.driver_log(0, 1)).read_bytes() == run.log()
    runyard(collector, "verify", "r")


def test_release_says_that_nobody_ships_where_nobody_does(
    collector: CollectorProcess, node_run: NodeRunFactory, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    run = node_run("sh", "-c", is_there(go), env={"RUNYARD_RUN__DRAIN_S": "1"})
    process = run.start()
    process.kill()
    process.communicate(timeout=30)
    go.touch()
    assert run.final_state()["status"] == "Completed"
    assert "nobody ships this run's logs now" in released(run.run_dir)
    runyard(collector, "ship", "--spool", str(run.run_dir.parent))
    runyard(collector, "verify", "r")
