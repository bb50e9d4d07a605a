"""An experiment: runs of one purpose, by a name. Submitting into it, and listing its runs.

Reads and writes nothing itself: submitting.py, interactive.py and listing.py do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runyard.errors import InputError
from runyard.run_ids import checked_id

from .workspace import Workspace

if TYPE_CHECKING:
    from .run import Run
    from .script_run_config import ScriptRunConfig

MOST_NAME = 500
OPTIONS = ("run_id", "display_name")


class Experiment:
    """An experiment of a workspace; it is made with its first run. `name`: letters, digits, `_`, `-` and `.` for one that runs
    are submitted to; those that MLflow clients have made may be called otherwise, and can be read."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        """Asks nothing of the collector. Raises InputError for a name that is none."""
        if not isinstance(workspace, Workspace):
            raise InputError(f"the workspace is a {type(workspace).__name__}; give a Workspace, as of Workspace.from_config()")
        if not isinstance(name, str) or not name or len(name) > MOST_NAME or not name.isprintable():
            shown = f"{name[:40]!r}" if isinstance(name, str) else f"a {type(name).__name__}"
            raise InputError(f"the experiment's name is {shown}; it has to be a text of 1 to {MOST_NAME} characters that print")
        self._workspace = workspace
        self._name = name

    def __repr__(self) -> str:
        return f"Experiment(Name: {self._name}, Workspace: {self._workspace.name})"

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def workspace(self) -> Workspace:
        """The workspace that it is in."""
        return self._workspace

    @staticmethod
    def list(workspace: Workspace) -> list[Experiment]:
        """The workspace's experiments. Blocks."""
        return list(workspace.experiments.values())

    def submit(self, config: ScriptRunConfig, tags: Mapping[str, str] | None = None, **kwargs: Any) -> Run:
        """Submit a run, and come back as soon as it is in its cluster's queue or has been started on this machine. `run_id` and
        `display_name` may be given by name. Blocks for packing and sending the code; raises InputError and CollectorError.
        See runyard/sdk/submitting.py."""
        from . import submitting

        for word in kwargs:
            if word not in OPTIONS:
                raise InputError(f"submit does not know {word!r}; beside config and tags it takes {' and '.join(OPTIONS)}")
        checked_id(self._name, "the experiment's name")
        return submitting.submit(self, config, tags, **kwargs)

    def start_logging(
        self,
        *,
        outputs: str | None = None,
        snapshot_directory: str | None = None,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        run_id: str | None = None,
    ) -> Run:
        """Begin a run of this very process: a notebook, a script. See runyard/sdk/interactive.py, also for why no folder is
        kept unless one is named. Blocks for a moment."""
        from . import interactive

        checked_id(self._name, "the experiment's name")
        return interactive.start_logging(
            self, outputs=outputs, snapshot_directory=snapshot_directory, name=name, tags=tags, run_id=run_id
        )

    def get_runs(
        self,
        type: str | None = None,
        tags: Mapping[str, str] | Sequence[str] | str | None = None,
        properties: Mapping[str, str] | Sequence[str] | str | None = None,
        include_children: bool = False,
    ) -> Iterator[Run]:
        """Its runs, newest first, page by page as they are asked for. `tags` and `properties`: a key, keys, or keys with their
        values, all of which a run has. Blocks."""
        from . import listing

        return listing.list_runs(self, type, tags, properties, None, include_children)


def of_run(run: Run) -> Experiment:
    """The experiment of a run that knows its collector; InputError for an offline one."""
    if run._connection is None:
        raise InputError(f"run {run._id} has no collector, and so no experiment; set RUNYARD_COLLECTOR_URL where it is started")
    return Experiment(Workspace.of_connection(run._connection), run._experiment_name)
