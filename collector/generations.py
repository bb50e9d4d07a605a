"""The generations of each file of a node, and the path of each: the newest has the file's own, an earlier one moves aside.

Reads from and writes to the table `streams`, in the transaction that it is given. All of it blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.names import of_attempt, superseded

from .messages import StreamToOpen
from .problems import Problem
from .schema import streams

_MAX_PART_BYTES = 255


@dataclass(slots=True)
class Generation:
    """A stream among the generations of its name; its id is -1 until its row is inserted."""

    id: int
    generation: int
    path: str
    is_placed: bool


class Chains:
    """The streams of a node: for each name of one attempt the chain of its generations, and no path taken twice."""

    def __init__(self, connection: Connection, run_id: str, node_id: str, attempt: int) -> None:
        self._connection = connection
        self._attempt = attempt
        self._owner = {"run_id": run_id, "node_id": node_id}
        rows = list(connection.execute(generations_of(run_id, node_id)))
        self._paths: set[str] = set()
        self._folders: set[str] = set()
        self._added: list[tuple[Generation, dict[str, Any]]] = []
        for row in rows:
            self._take(row.path)
        self.by_name: dict[str, list[Generation]] = {}
        for row in rows:
            if row.attempt == attempt:
                self.by_name.setdefault(row.name, []).append(Generation(row.id, row.generation, row.path, row.is_placed))

    def find_or_add(self, wanted: StreamToOpen) -> Generation:
        """The wanted stream; a new one has its id after `insert_added`."""
        chain = self.by_name.setdefault(wanted.name, [])
        for known in chain:
            if known.generation == wanted.generation:
                return known
        if chain and chain[-1].generation > wanted.generation:
            detail = f"{wanted.name!r} has come to generation {chain[-1].generation}; {wanted.generation} cannot be opened"
            raise Problem(409, "superseded", detail)
        path = self._supersede(chain[-1]) if chain else self._free(of_attempt(wanted.name, self._attempt))
        return self._add(chain, wanted, path)

    def _supersede(self, earlier: Generation) -> str:
        self.insert_added()
        path, earlier.path = earlier.path, self._free(_earlier_path(earlier.path, earlier.generation))
        change = sa.update(streams).where(streams.c.id == earlier.id).values(is_superseded=True, path=earlier.path)
        self._connection.execute(change)
        return path

    def _add(self, chain: list[Generation], wanted: StreamToOpen, path: str) -> Generation:
        values = {"attempt": self._attempt, "name": wanted.name, "generation": wanted.generation}
        values |= {"source_id": wanted.source_id, "path": path, "is_placed": False, "is_superseded": False}
        chain.append(Generation(-1, wanted.generation, path, is_placed=False))
        self._added.append((chain[-1], self._owner | values))
        return chain[-1]

    def insert_added(self) -> None:
        """The rows of all that was added, in one statement."""
        added, self._added = self._added, []
        if added:
            insert = sa.insert(streams).returning(streams.c.id, sort_by_parameter_order=True)
            ids = self._connection.execute(insert, [values for _, values in added]).scalars()
            for (generation, _), stream_id in zip(added, ids, strict=True):
                generation.id = stream_id

    def _free(self, path: str) -> str:
        """`path`, or the nearest to it where no other file of the node is in the way: one that was once where a folder is now,
        or the earlier generation of another file."""
        place = ""
        *folders, name = path.split("/")
        for folder in folders:
            place += folder
            while place in self._paths:
                place += "~"
            place += "/"
        place += name
        while place in self._paths or place in self._folders:
            place += "~"
        self._take(place)
        return place

    def _take(self, path: str) -> None:
        self._paths.add(path)
        end = path.rfind("/")
        while end > 0 and path[:end] not in self._folders:
            self._folders.add(path[:end])
            end = path.rfind("/", 0, end)


def generations_of(run_id: str, node_id: str) -> sa.Select[Any]:
    """The query for the rows of a node, earlier generations first."""
    columns = (streams.c.id, streams.c.attempt, streams.c.name, streams.c.generation, streams.c.path, streams.c.is_placed)
    mine = (streams.c.run_id == run_id) & (streams.c.node_id == node_id)
    return sa.select(*columns).where(mine).order_by(streams.c.generation)


def _earlier_path(path: str, generation: int) -> str:
    """`path`.~generation~, its last part cut where the file system would not take it."""
    folder, slash, name = path.rpartition("/")
    room = _MAX_PART_BYTES - len(superseded("", generation))
    name = name.encode()[:room].decode(errors="ignore")
    return folder + slash + superseded(name, generation)
