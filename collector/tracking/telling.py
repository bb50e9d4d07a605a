"""Telling the followers of runs what clients have said of how these are: it is written down where nobody else tells the hub.

Reads the runs that are followed from the catalog; tells the hub.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from runyard.collector import catalog
from runyard.collector.database import Database
from runyard.collector.hub import Hub
from runyard.collector.problems import Problem
from runyard.tracking.records import Record, Status


def spoken_of(run_id: str, records: Iterable[Record]) -> set[str]:
    """The runs of whose status the records of `run_id` say something. Pure."""
    return {record.run or run_id for record in records if isinstance(record, Status)}


async def tell(database: Database, hub: Hub, run_ids: Iterable[str]) -> None:
    """The runs may have another status now, in a transaction that is committed."""
    for run_id in run_ids:
        if hub.is_followed(run_id):
            with suppress(Problem):  # the run is none that was ever made, or it is gone
                row = await database.read(catalog.run, run_id)
                hub.told(run_id, row.state, row.silent_if)
