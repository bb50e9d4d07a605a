"""The way to the collector as a notebook has it, and the lists that it finds there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from runyard import Experiment, Run, Workspace
from runyard.errors import CollectorRefused, CollectorUnreachable, ConfigError, InputError
from tests.agent_process import join_token
from tests.collector.node import Node
from tests.collector_process import CollectorProcess, running_collector


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    with running_collector(tmp_path_factory.mktemp("shared")) as process:
        yield process


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine without settings."""
    for name in [name for name in os.environ if name.startswith("RUNYARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def test_variables_a_file_or_a_folder_name_the_collector(
    clean: pytest.MonkeyPatch, collector: CollectorProcess, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(collector.token + "\n")
    file = tmp_path / "runyard.toml"
    file.write_text(f'[client]\ncollector_url = "{collector.url}"\ntoken_file = "{tmp_path / "token"}"\n')
    for workspace in (Workspace.from_config(), Workspace.from_config(file), Workspace.from_config(tmp_path)):
        assert workspace.url == collector.url
        assert isinstance(workspace.compute_targets, dict)
    file.unlink()
    clean.setenv("RUNYARD_COLLECTOR_URL", collector.url + "/")
    clean.setenv("RUNYARD_TOKEN", collector.token)
    workspace = Workspace.from_config()
    assert workspace.name == collector.url.removeprefix("http://")
    assert workspace.get_details()["portalUrl"] == collector.url
    assert workspace.settings.client.collector_url == collector.url + "/"


def test_the_token_is_never_shown(collector: CollectorProcess) -> None:
    workspace = Workspace(collector.url, collector.token)
    experiment = Experiment(workspace, "digits")
    shown = [workspace, experiment, workspace.connection, workspace.settings, workspace.get_details(), Run(experiment, "r")]
    assert all(collector.token not in repr(one) and collector.token not in str(one) for one in shown)


def test_what_is_missing_is_said(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no collector is set; set RUNYARD_COLLECTOR_URL"):
        Workspace.from_config()
    clean.setenv("RUNYARD_COLLECTOR_URL", "http://127.0.0.1:1")
    with pytest.raises(InputError, match="no token is set; set RUNYARD_TOKEN"):
        Workspace.from_config()
    with pytest.raises(ConfigError, match=r"none\.toml does not exist"):
        Workspace.from_config(tmp_path / "none.toml")
    with pytest.raises(InputError, match="is no URL"):
        Workspace("lab", "token")
    with pytest.raises(CollectorUnreachable, match="cannot be reached"):
        _ = Workspace("http://127.0.0.1:1", "token").experiments
    with pytest.raises(InputError, match="give a Workspace"):
        Experiment("digits", "digits")  # type: ignore[arg-type]
    for name in ("", "two\nlines", "x" * 600, None):
        with pytest.raises(InputError, match="experiment's name"):
            Experiment(Workspace("http://127.0.0.1:1", "token"), name)  # type: ignore[arg-type]


def test_a_run_is_named_by_a_text(collector: CollectorProcess) -> None:
    experiment = Experiment(Workspace(collector.url, collector.token), "digits")
    for run_id in (3, "", None):
        with pytest.raises(InputError, match="the run id is"):
            Run(experiment, run_id)  # type: ignore[arg-type]


def test_an_unknown_token_is_refused(collector: CollectorProcess) -> None:
    with pytest.raises(CollectorRefused, match="not known"):
        _ = Workspace(collector.url, "nobody's").compute_targets


def test_experiments_are_found_by_name(collector: CollectorProcess) -> None:
    Node(collector, experiment="found")
    workspace = Workspace(collector.url, collector.token)
    found = workspace.experiments
    assert {"Default", "found"} <= set(found)
    assert found["found"].name == "found"
    assert "found" in [one.name for one in Experiment.list(workspace)]


def test_clusters_are_compute_targets(collector: CollectorProcess) -> None:
    join_token(collector, cluster="pool")
    workspace = Workspace(collector.url, collector.token)
    target = workspace.compute_targets["pool"]
    assert target.name == "pool"
    assert target.list_nodes() == []
    assert target.get_status()["queued"] == 0
    assert list(target.get_active_runs()) == []
    with pytest.raises(InputError, match="Queued or Running"):
        Run.list_by_compute(target, status="Failed")
    with pytest.raises(InputError, match=r"compute_targets\['lab'\]"):
        Run.list_by_compute("pool")


def test_runs_are_listed_newest_first_with_what_they_have(collector: CollectorProcess) -> None:
    node_runs = [
        Node(collector, experiment="listed", created_ns=number, tags={"even": str(number % 2 == 0), f"t{number}": ""})
        for number in range(1, 6)
    ]
    ids = [one.run_id for one in node_runs]
    experiment = Experiment(Workspace(collector.url, collector.token), "listed")
    assert [run.id for run in experiment.get_runs()] == ids[::-1]
    assert [run.id for run in islice(experiment.get_runs(), 2)] == ids[:2:-1]
    assert [run.id for run in experiment.get_runs(tags={"even": "True"})] == [ids[3], ids[1]]
    assert [run.id for run in experiment.get_runs(tags="t3")] == [ids[2]]
    assert [run.id for run in experiment.get_runs(tags=["even", "t5"])] == [ids[4]]
    assert [run.id for run in Run.list(experiment, type="script", status="NotStarted")] == ids[::-1]
    assert list(Run.list(experiment, type="sweep")) == []
    run = Run(experiment, ids[0])
    run.add_properties({"best": "yes"})
    assert run.flush()
    assert [one.id for one in experiment.get_runs(properties={"best": "yes"})] == [ids[0]]
    with pytest.raises(InputError, match="tags is a int"):
        experiment.get_runs(tags=3)  # type: ignore[arg-type]
    found = Run.get(experiment.workspace, ids[1])
    assert (found.experiment.name, found.number, found.type) == ("listed", 2, "script")
    with pytest.raises(InputError, match=f"did you mean '{ids[1]}'"):
        Run.get(experiment.workspace, ids[1] + "x")
