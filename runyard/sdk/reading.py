"""Reading what runs have recorded: metrics, tags, properties, children.

Reads from the collector: GET /runs, /runs/{run_id}, /runs/{run_id}/metrics and …/metrics/values. A job that cannot reach it, or
whose journal it does not have yet, reads the journals on its node instead (journals.py); an offline run reads its memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from runyard import reader
from runyard.errors import CollectorBusy, CollectorRefused, CollectorUnreachable

from . import children as kin
from . import journals, saying, shapes
from .filters import Marks, has_marks, wanted_marks
from .offline import OfflineRecorder
from .recording import JournalRecorder
from .replay import ROW, Recorded, Replay, Series, cells_of, number_of

if TYPE_CHECKING:
    from .run import Run

T = TypeVar("T")

# How long reading waits for what this process has recorded itself to be there to be read.
OWN_WRITES_S = 10.0
POINTS_AT_ONCE = 100_000


def get_metrics(
    run: Run, name: str | None, recursive: bool, run_type: str | None, populate: bool, as_lists: bool
) -> dict[str, Any]:
    """The run's metrics by name, or only `name`'s; with `recursive` those of each run of the family by its id.

    The default is Azure ML's rule, which scripts are written for: one value is a scalar, several are a list in recorded order;
    a table of one row is a dict of scalars, of several a dict of lists with None where a row has no such column; what lies in a
    file is its address, or with `populate` its contents. `as_lists=True` is the shape that does not change with the number of
    values, Dict[str, List[…]]: lists always, and dicts of lists. Blocks; raises CollectorError.
    """
    if not recursive:
        return _shaped(run, name, populate, as_lists)
    family = [run, *kin.get_children(run, recursive=True)]
    wanted = [one for one in family if run_type is None or one.type == run_type]
    return {one.id: _shaped(one, name, populate, as_lists) for one in wanted}


def marks(run: Run, which: str) -> dict[str, str]:
    """The run's "tags", "properties" or "params"."""
    return _read(run, lambda: dict(_document(run)[which]), lambda replay: dict(getattr(_seen(replay, run), which)))


def parent(run: Run) -> Run | None:
    """The run's parent, None where it is nobody's child."""
    found = _read(run, lambda: _document(run)["parent_run_id"], lambda replay: _seen(replay, run).parent)
    return kin.above(run, found) if found else None


def children(of: Run, recursive: bool, tags: Marks, properties: Marks, kind: str | None, status: str | None) -> Iterator[Run]:
    """The run's children, newest first; of all generations with `recursive`. The filters are those of Run.list."""
    wanted, kept = wanted_marks(tags, "tags"), wanted_marks(properties, "properties")
    for child, seen in _read(of, lambda: _children(of), lambda replay: _children_here(of, replay)):
        is_wanted = kind in (None, seen["kind"]) and status in (None, seen["status"]) and has_marks(seen["tags"], wanted)
        if is_wanted and (not kept or has_marks(child.get_properties(), kept)):
            yield child
        if recursive:
            yield from children(child, True, tags, properties, kind, status)


def _shaped(run: Run, name: str | None, populate: bool, as_lists: bool) -> dict[str, Any]:
    found, here = _read(run, lambda: (_series(run, name), None), lambda replay: _series_here(_seen(replay, run), name))

    def file_of(path: str, kind: str) -> Any:
        return shapes.contents(run, path, kind, here) if populate else shapes.address(run, path)

    return {key: shapes.shaped(one, file_of, as_lists) for key, one in found.items()}


def _series(run: Run, name: str | None) -> dict[str, Series]:
    path = f"{reader.run_path(run.id)}/metrics"
    known = run._client.json("GET", path, params={"name": name})["metrics"]
    return {one["name"]: Series(one["kind"], list(_points(run, path, one["name"]))) for one in known}


def _points(run: Run, path: str, name: str) -> Iterator[Any]:
    start: int | None = 0
    while start is not None:
        params = {"name": name, "from": start, "limit": POINTS_AT_ONCE}
        page = run._client.json("GET", f"{path}/values", params=params)
        yield from (_value(point, page["kind"]) for point in page["points"])
        start = page.get("next")


def _value(point: dict[str, Any], kind: str) -> Any:
    if kind == ROW:
        return cells_of(point["value"])
    return point["value"] if point.get("is_text") else number_of(point["value"])


def _series_here(seen: Recorded, name: str | None) -> tuple[dict[str, Series], Recorded | None]:
    return {key: one for key, one in seen.series.items() if name in (None, key)}, seen


def _children(of: Run) -> list[tuple[Run, dict[str, Any]]]:
    found = reader.runs(of._client, {"parent": of.id})
    return [(kin.child_of(of, one["run_id"]), one) for one in found]


def _children_here(of: Run, replay: Replay) -> list[tuple[Run, dict[str, Any]]]:
    newest_first = reversed(replay.runs.items())
    return [
        (kin.child_of(of, run_id), {"kind": seen.kind, "status": seen.status, "tags": seen.tags})
        for run_id, seen in newest_first
        if seen.parent == of._record_key and run_id
    ]


def _document(run: Run) -> reader.Document:
    return reader.run(run._client, run.id)


def _read(run: Run, ask: Callable[[], T], look: Callable[[Replay], T]) -> T:
    """What the collector says, or where it cannot, what the records here say."""
    recorder = getattr(run._recorder, "journal", run._recorder)  # an interactive run's has one
    if isinstance(recorder, OfflineRecorder):
        return look(recorder.replay)
    if not isinstance(recorder, JournalRecorder):
        recorder.settle(OWN_WRITES_S)
        return ask()
    why = recorder.why_unread(OWN_WRITES_S)
    if not why:
        try:
            return ask()
        except (CollectorUnreachable, CollectorBusy, reader.NoSuchRun) as error:
            why = str(error)
        except CollectorRefused as error:
            if error.status != 404:
                raise
            why = str(error)  # it began while the collector was away
    saying.once(f"run {run.id} is read from the records on this node, other nodes' are not there: {why}")
    return look(journals.replay(recorder.tracking_dir))


def _seen(replay: Replay, run: Run) -> Recorded:
    return replay.runs.get(run._record_key) or Recorded()
