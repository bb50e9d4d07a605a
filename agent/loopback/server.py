"""The state of the loopback server: the book, the journal behind it, files, and whoever else may know.

`record` is the one way in, into the journal first and then into the book: nothing is answered that a kill -9 would take back.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runyard import names
from runyard.atomic import read_json, write_json
from runyard.mlflow import messages
from runyard.mlflow.errors import TEMPORARILY_UNAVAILABLE, MlflowError
from runyard.tracking import records

from .book import Book, KnownModel, KnownRun
from .elsewhere import Elsewhere
from .files import Blobs
from .journals import Journals
from .known import Experiment, Known
from .recording import PENDING

# Where the collector does not tell the experiment's number: the one of MLflow's "Default".
NO_EXPERIMENT = "0"
_NO_ROOM = 507  # none of those that MLflow's clients try again


class Server:
    """One run's."""

    def __init__(self, run_dir: Path, run: dict[str, Any], experiment_id: str, elsewhere: Elsewhere) -> None:
        start_ms = int(run["created_ns"]) // 10**6
        own = KnownRun(run["run_id"], "", "", run.get("name") or run["run_id"], run.get("user") or "", start_ms)
        own.tags |= run.get("tags") or {}
        self.token: str = run["run_token"]
        self.elsewhere = elsewhere
        self.book = Book(own)
        self.known = Known(self.book, Experiment(experiment_id, run["experiment"], start_ms))
        self._journals = Journals(run_dir, run["run_id"], int(run.get("attempt") or 0))
        self.blobs = Blobs(self._journals.attempts)
        self.book.apply(self._journals.earlier())
        self.book.turn_over()
        self.catch_up()
        # What an earlier process of this server may have been killed before it could answer: the question comes again.
        self._unanswered_runs = {run_id for run_id, one in self.book.runs.items() if one is not own and one.end_ms is None}
        self._unanswered_models = {one.model_id for one in self.book.models.values() if one.document.get("status") == PENDING}

    def record(self, new: Sequence[records.Record]) -> None:
        """Write records down and take them in. Raises MlflowError where the disk does not take all of them; those that it has
        taken are recorded."""
        if not new:
            return
        try:
            self._journals.append(new)
        except OSError as error:
            self.catch_up()  # the lines that are whole are recorded: what comes again is known
            raise no_room(f"the run's folder on this node cannot be written: {error.strerror}") from error
        self.book.apply(new)

    def catch_up(self) -> None:
        """Take in what others have written into their journals: the SDK in the same training, other processes of it."""
        self.book.apply(self._journals.news())

    async def close(self) -> None:
        """Close the journal and the connections."""
        self._journals.close()
        await self.elsewhere.close()

    def history(self, run: KnownRun, name: str) -> list[records.Metric]:
        """All points of a metric in the order of their recording. Blocks."""
        return list(self._journals.points(run.run_id, self.book.own.run_id, name))

    def asked_again(self, asked: messages.CreateRun) -> KnownRun | None:
        """The run that an earlier process made for this very request, without having answered; None: it is a new one."""
        tags = {(tag.key, tag.value) for tag in asked.tags}
        for run_id in self._unanswered_runs:
            run = self.book.runs[run_id]
            is_same = run.start_ms == asked.start_time and run.user == asked.user_id and tags <= run.tags.items()
            if is_same and asked.run_name in ("", run.name):
                self._unanswered_runs.discard(run_id)
                return run
        return None

    def asked_again_for_model(self, asked: messages.CreateModel, run_id: str) -> KnownModel | None:
        """The same of a model."""
        given = ({one.key: one.value for one in asked.params}, {one.key: one.value for one in asked.tags})
        for model_id in self._unanswered_models:
            model = self.book.models[model_id]
            document = model.document
            is_same = (document.get("params"), document.get("tags")) == given and model.run_id == run_id
            if is_same and asked.name == document.get("name") and not self.book.files.get(f"model:{model_id}"):
                self._unanswered_models.discard(model_id)
                return model
        return None


def no_room(message: str) -> MlflowError:
    """What a disk that takes nothing comes to."""
    answer = MlflowError(TEMPORARILY_UNAVAILABLE, message)
    answer.status = _NO_ROOM
    return answer


async def experiment_id_of(run_dir: Path, run: dict[str, Any], elsewhere: Elsewhere) -> str:
    """The number by which clients on this node know the run's experiment: the collector's where it tells; always the same."""
    path = str(run_dir / names.PRIVATE_DIR / "loopback_experiment.json")
    known = read_json(path)
    if isinstance(known, dict):
        return str(known["experiment_id"])
    found = await elsewhere.experiment_id(run["run_id"]) or NO_EXPERIMENT
    write_json(path, {"experiment_id": found}, durable=False)
    return found
