"""Runs that are found: by id, by experiment, by cluster.

Reads from GET runs, runs/{run_id} and clusters/{cluster}/runs; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from runyard import reader
from runyard.client import CollectorClient, path_segment
from runyard.errors import InputError
from runyard.reader import Document

from .filters import Marks, has_marks, wanted_marks

if TYPE_CHECKING:
    from .experiment import Experiment
    from .run import Run
    from .workspace import Workspace

# A person who looks at the newest few waits for few; one who takes them all asks seldom.
PAGE_SIZE = 100
QUEUED, RUNNING = "Queued", "Running"


def get(workspace: Workspace, run_id: str) -> Run:
    """The run of that id; InputError, naming the nearest id there is, where there is none. Blocks."""
    from .experiment import Experiment
    from .run import Run

    if not isinstance(run_id, str) or not run_id:
        raise InputError(f"the run id is {run_id!r}; it has to be a text, as run.id has it")
    found = reader.run(workspace.connection.client, run_id)
    return Run(Experiment(workspace, found["experiment"]), run_id)


def list_runs(
    experiment: Experiment, kind: str | None, tags: Marks, properties: Marks, status: str | None, include_children: bool
) -> Iterator[Run]:
    """The experiment's runs, newest first. The arguments are checked now, pages are fetched as runs are asked for."""
    query: dict[str, object] = {"experiment": experiment.name, "kind": kind, "status": status, "page_size": PAGE_SIZE}
    if include_children:
        query["include_children"] = 1
    wanted, kept = wanted_marks(tags, "tags"), wanted_marks(properties, "properties")
    return _runs(experiment, query, wanted, kept)


def _runs(
    experiment: Experiment, query: dict[str, object], tags: dict[str, str | None], properties: dict[str, str | None]
) -> Iterator[Run]:
    from .run import Run

    client = experiment.workspace.connection.client
    query["tag"] = [f"{key}={value}" for key, value in tags.items() if value is not None]
    for found in reader.runs(client, query):
        if has_marks(found["tags"], tags) and _has_properties(client, found, properties):
            yield Run(experiment, found["run_id"])


def list_by_compute(compute: Any, kind: str | None, tags: Marks, properties: Marks, status: str | None) -> Iterator[Run]:
    """The runs of a cluster that are not over, in the order in which they get nodes. `status`: Queued, Running, or both."""
    from .workspace import ComputeTarget

    if not isinstance(compute, ComputeTarget):
        raise InputError(f"compute is a {type(compute).__name__}; give a cluster, as of workspace.compute_targets['lab']")
    if status not in (None, QUEUED, RUNNING):
        raise InputError(f"status is {status!r}; the runs of a cluster are {QUEUED} or {RUNNING}")
    return _of_cluster(compute, kind, wanted_marks(tags, "tags"), wanted_marks(properties, "properties"), status)


def _of_cluster(
    compute: Any, kind: str | None, tags: dict[str, str | None], properties: dict[str, str | None], status: str | None
) -> Iterator[Run]:
    from .experiment import Experiment
    from .run import Run

    client = compute.workspace.connection.client
    for one in client.json("GET", f"/clusters/{path_segment(compute.name)}/runs")["runs"]:
        found = one["run"]
        if status is not None and (found["status"] == QUEUED) != (status == QUEUED):
            continue
        if kind is not None and found.get("kind") != kind:
            continue
        if has_marks(found["tags"], tags) and _has_properties(client, found, properties):
            yield Run(Experiment(compute.workspace, found["experiment"]), found["run_id"])


def _has_properties(client: CollectorClient, found: Document, properties: dict[str, str | None]) -> bool:
    return not properties or has_marks(reader.run(client, found["run_id"])["properties"], properties)
