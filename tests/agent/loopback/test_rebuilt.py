"""Whatever a client has recorded, a server that is started anew answers as the one that was killed."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runyard import names
from runyard.agent.loopback import recording
from runyard.agent.loopback.elsewhere import Elsewhere
from runyard.agent.loopback.journals import NAME
from runyard.agent.loopback.server import Server
from runyard.mlflow import answers, messages
from runyard.mlflow.errors import MlflowError
from runyard.tracking import records

KEYS = st.sampled_from(["a", "b", "c/d", "ü"])
VALUES = st.sampled_from(["1", "2", ""])
NUMBERS = st.sampled_from([0.0, 1.5, float("nan"), float("inf"), -2.0])
STEPS = st.integers(-2, 3)
WHICH = st.integers(0, 5)
ACTIONS = st.one_of(
    st.tuples(st.just("metric"), WHICH, KEYS, NUMBERS, STEPS),
    st.tuples(st.just("param"), WHICH, KEYS, VALUES),
    st.tuples(st.just("tag"), WHICH, st.one_of(KEYS, st.just("mlflow.runName")), VALUES),
    st.tuples(st.just("untag"), WHICH, KEYS),
    st.tuples(st.just("child"), WHICH),
    st.tuples(st.just("status"), WHICH, st.sampled_from(["RUNNING", "FINISHED", "FAILED", "KILLED"])),
    st.tuples(st.just("hide"), WHICH),
    st.tuples(st.just("show"), WHICH),
    st.tuples(st.just("model"), WHICH),
    st.tuples(st.just("ready"), WHICH),
    st.tuples(st.just("file"), WHICH, KEYS),
    st.tuples(st.just("unfile"), WHICH, KEYS),
)
RUN: dict[str, Any] = {
    "run_id": "r", "created_ns": 10**18, "experiment": "digits", "run_token": "t", "name": "", "user": "ada", "tags": {},
    "attempt": 0,
}  # fmt: skip


def server_in(folder: Path) -> Server:
    return Server(folder / "r", RUN, "7", Elsewhere("", ""))


def act(server: Server, action: tuple[Any, ...]) -> None:
    """What a client asks for, of one of the runs; some of it is refused."""
    runs = list(server.book.runs.values())
    what, which, *more = action
    run, book = runs[which % len(runs)], server.book
    models = list(book.models.values())
    if what == "metric":
        metric = messages.LogMetric(run_id=run.run_id, key=more[0], value=more[1], timestamp=5, step=more[2])
        server.record(recording.metric(metric, run, book))
    elif what == "param":
        server.record(recording.param(messages.LogParam(run_id=run.run_id, key=more[0], value=more[1]), run, book))
    elif what == "tag":
        server.record(recording.tag(run, more[0], more[1]))
    elif what == "untag":
        server.record(recording.untag(messages.LogParam(run_id=run.run_id, key=more[0]), run, book))
    elif what == "child":
        server.record(recording.child(messages.CreateRun(start_time=6, user_id="bob"), run, book)[1])
    elif what == "status":
        server.record(recording.update(messages.UpdateRun(run_id=run.run_id, status=more[0], end_time=9), run))
    elif what in ("hide", "show"):
        change = recording.delete if what == "hide" else recording.restore
        server.record(change(messages.RunRequest(run_id=run.run_id), run, book))
    elif what == "model":
        server.record(recording.model(messages.CreateModel(experiment_id="0"), run)[1])
    elif what == "ready" and models:
        server.record(recording.change_model(models[which % len(models)], status="LOGGED_MODEL_READY", tags={"a": str(which)}))
    elif what == "file":
        server.record([records.Artifact(run.word, more[0], "0" * 64, which, 5)])
    elif what == "unfile":
        server.record([records.ArtifactGone(run.word, more[0])])


def answered(server: Server) -> list[Any]:
    """All that it would answer."""
    runs = server.known.runs(messages.SearchRuns(run_view_type="ALL"))
    models = server.known.models(messages.SearchModels(experiment_ids=["0"]))
    points = [
        recorded for run in server.book.runs.values() for key in ("a", "b", "c/d", "ü") for recorded in server.history(run, key)
    ]
    return [answers.encode(runs), answers.encode(models), server.book.files, points]


@given(st.lists(ACTIONS, max_size=30), st.booleans())
def test_a_server_started_anew_answers_as_the_one_before(actions: list[tuple[Any, ...]], is_torn: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "r" / names.TRACKING_DIR).mkdir(parents=True)
        server = server_in(folder)
        for action in actions:
            with suppress(MlflowError):
                act(server, action)
        before = answered(server)
        journal = folder / "r" / names.TRACKING_DIR / NAME
        if is_torn and journal.exists():
            with journal.open("ab") as file:
                file.write(b'["p","","torn')  # killed within a line, of which nobody was told
        again = server_in(folder)
        assert answered(again) == before
        again.record([records.Tag("", "after", "it")])
        assert server_in(folder).book.own.tags["after"] == "it"
        for one in (server, again):
            asyncio.run(one.close())
