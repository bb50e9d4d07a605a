"""The table `artifacts`: which path of a run, or of an MLflow model, has which bytes; and `sent_blobs`: which a run has sent.

Reads from and writes to these tables, and reads `blobs`. Every function blocks and gets the connection of its transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import artifacts, blobs, models, runs, sent_blobs
from runyard.names import why_bad_stream_name

_MODEL = "model:"


@dataclass(frozen=True, slots=True)
class Row:
    """A file that was uploaded. `origin`: the run whose node has shipped its bytes, or will; None: the store of blobs has
    them."""

    owner: str
    path: str
    sha256: str
    size_bytes: int
    created_ms: int
    origin: str | None


def owner_of_model(model_id: str) -> str:
    """The owner of an MLflow model's files."""
    return _MODEL + model_id


def model_of(owner: str) -> str | None:
    """The model that the owner is; None: it is a run."""
    return owner.removeprefix(_MODEL) if owner.startswith(_MODEL) else None


def put(connection: Connection, row: Row, sender: str | None) -> str:
    """Adds the file, in place of one at its path; empty, or why not, as a sentence. Bytes that come from no node have to be in
    the store of blobs for `sender` (see is_kept), and no name is both file and folder."""
    bad = why_bad_stream_name(row.path)
    if bad:
        return f"the path {row.path[:200]!r} of a file {bad}"
    if row.origin is None and not is_kept(connection, row, sender):
        return (
            f"the {row.size_bytes} bytes of the file {row.path[:200]!r} were not uploaded: there is no blob {row.sha256[:64]}"
        )
    taken = _in_the_way(connection, row.owner, row.path)
    if taken:
        return f"the file {row.path[:200]!r} cannot be kept: {taken[:200]!r} is there, and no name is both file and folder"
    this = (artifacts.c.owner == row.owner) & (artifacts.c.path == row.path)
    connection.execute(sa.delete(artifacts).where(this))
    values = {field: getattr(row, field) for field in Row.__slots__}
    connection.execute(sa.insert(artifacts).values(values))
    return ""


def is_kept(connection: Connection, row: Row, sender: str | None) -> bool:
    """Whether the store of blobs has the file's bytes, and the run `sender`, or the file's own run, has sent them itself. No
    run gets by a digest what another has sent. None: a person, who may read all runs."""
    known = connection.execute(sa.select(blobs.c.size_bytes).where(blobs.c.sha256 == row.sha256)).scalar()
    if known is None or int(known) != row.size_bytes:
        return False
    return sender is None or has_sent(connection, {sender, run_of(connection, row.owner) or sender}, row.sha256)


def has_sent(connection: Connection, run_ids: Iterable[str], sha256: str) -> bool:
    """Whether one of these runs has sent these bytes, whole."""
    condition = sent_blobs.c.run_id.in_(run_ids) & (sent_blobs.c.sha256 == sha256)
    return connection.execute(sa.select(sent_blobs.c.run_id).where(condition).limit(1)).first() is not None


def note_sent(connection: Connection, run_id: str, sha256: str) -> bool:
    """The run has sent these bytes, whole; whether that is new. Of one whose files were removed nothing is noted."""
    is_there = sa.select(runs.c.run_id).where((runs.c.run_id == run_id) & runs.c.removed_ns.is_(None))
    if has_sent(connection, [run_id], sha256) or connection.execute(is_there).first() is None:
        return False
    connection.execute(sa.insert(sent_blobs).values(run_id=run_id, sha256=sha256))
    return True


def _in_the_way(connection: Connection, owner: str, path: str) -> str | None:
    """A file where `path` needs a folder, or one in the folder that `path` is; None where there is none."""
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts))]
    found: str | None = None
    # One after the other: each is looked up in the order of the paths, however many files the owner has.
    for is_in_the_way in (artifacts.c.path.in_(above), _is_below(path)):
        query = sa.select(artifacts.c.path).where((artifacts.c.owner == owner) & is_in_the_way).limit(1)
        found = found or connection.execute(query).scalar()
    return found


def _is_below(folder: str) -> sa.ColumnElement[bool]:
    """Of paths by their bytes: "0" comes right after "/"."""
    return (artifacts.c.path >= f"{folder}/") & (artifacts.c.path < f"{folder}0")


def find(connection: Connection, owner: str, path: str) -> Row | None:
    """The file at `path`."""
    row = connection.execute(sa.select(artifacts).where((artifacts.c.owner == owner) & (artifacts.c.path == path))).first()
    return Row(**row._mapping) if row else None


def of_owner(connection: Connection, owner: str, folder: str = "") -> list[Row]:
    """The files below `folder` (empty: all), by path."""
    condition = artifacts.c.owner == owner
    if folder:
        condition &= _is_below(folder)
    rows = [Row(**row._mapping) for row in connection.execute(sa.select(artifacts).where(condition))]
    return sorted(rows, key=lambda row: row.path)


def remove(connection: Connection, owner: str, path: str) -> int:
    """Takes away the file at `path` and what lies below it (empty: all of the owner's); how many files that were."""
    ours = sa.delete(artifacts).where(artifacts.c.owner == owner)
    gone = (ours.where(artifacts.c.path == path), ours.where(_is_below(path))) if path else (ours,)
    return sum(connection.execute(one).rowcount for one in gone)


def remove_of_runs(connection: Connection, run_ids: Iterable[str]) -> list[str]:
    """The files of these runs and of their models are gone, and those whose bytes their nodes had; the blobs that they had.
    It is forgotten what they have sent."""
    found: set[str] = set()
    for run_id in run_ids:
        made = sa.select(sa.literal(_MODEL).concat(models.c.model_id)).where(models.c.run_id == run_id)
        gone = (artifacts.c.owner == run_id) | (artifacts.c.origin == run_id) | artifacts.c.owner.in_(made)
        found.update(connection.execute(sa.select(artifacts.c.sha256).where(gone & artifacts.c.origin.is_(None))).scalars())
        connection.execute(sa.delete(artifacts).where(gone))
        connection.execute(sa.delete(sent_blobs).where(sent_blobs.c.run_id == run_id))
    return sorted(found)


def owners() -> sa.Select[tuple[str]]:
    """The query for those whose bytes no node has shipped."""
    return sa.select(artifacts.c.owner).where(artifacts.c.origin.is_(None))


def uploaded_bytes(connection: Connection) -> dict[str, int]:
    """For each owner the bytes that were uploaded for it, and that no node has shipped."""
    total = sa.func.sum(artifacts.c.size_bytes)
    query = sa.select(artifacts.c.owner, total).where(artifacts.c.origin.is_(None)).group_by(artifacts.c.owner)
    return {row[0]: int(row[1]) for row in connection.execute(query)}


def unused_blobs(connection: Connection, before_ns: int) -> list[str]:
    """The blobs that no file has, of those that came before `before_ns`: what has just come is about to get its file."""
    is_used = sa.exists().where((artifacts.c.sha256 == blobs.c.sha256) & artifacts.c.origin.is_(None))
    return list(connection.execute(sa.select(blobs.c.sha256).where(~is_used & (blobs.c.created_ns < before_ns))).scalars())


def forget_unused(connection: Connection, sha256: str, before_ns: int) -> bool:
    """Whether no file has this blob, which came before `before_ns`; then it is forgotten who has sent it."""
    if not _is_unused(connection, sha256, before_ns):
        return False
    connection.execute(sa.delete(sent_blobs).where(sent_blobs.c.sha256 == sha256))
    return True


def _is_unused(connection: Connection, sha256: str, before_ns: int) -> bool:
    used = sa.select(artifacts.c.owner).where((artifacts.c.sha256 == sha256) & artifacts.c.origin.is_(None)).limit(1)
    if connection.execute(used).first() is not None:
        return False
    created_ns = connection.execute(sa.select(blobs.c.created_ns).where(blobs.c.sha256 == sha256)).scalar()
    return created_ns is not None and int(created_ns) < before_ns


def run_of(connection: Connection, owner: str) -> str | None:
    """The run that an owner's files go with: itself, or the one that made the model; None where there is none."""
    model_id = model_of(owner)
    if model_id is None:
        return owner
    found: str | None = connection.execute(sa.select(models.c.run_id).where(models.c.model_id == model_id)).scalar()
    return found or None


def descendants(connection: Connection, run_id: str) -> list[str]:
    """The run's children that no node has, theirs, and so on: their files are with this run's."""
    below = sa.select(runs.c.run_id).where((runs.c.parent_run_id == run_id) & runs.c.is_client_run).cte(recursive=True)
    child = runs.alias()
    step = sa.select(child.c.run_id).where((child.c.parent_run_id == below.c.run_id) & child.c.is_client_run)
    return list(connection.execute(sa.select(below.union(step).c.run_id)).scalars())
