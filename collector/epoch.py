"""Which memory of the collector this is: a text drawn by chance at the first start, and anew after a restoring.

What a restored catalog does not know is not what somebody has taken away. Agents tell the two apart by this text, which comes
with their work (cluster/dispatch.py). Reads from and writes to the table `memory`; removes the mark that `restore` has left.
What survives a crash: the mark goes once the new text is committed; it may be drawn twice.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.atomic import sync_folder

from .backup import RESTORED
from .database import Database
from .schema import memory


async def settle(database: Database, data_dir: Path) -> None:
    """Draw the epoch where there is none, or where the data was restored since. Raises DatabaseError, OSError."""
    mark = data_dir / RESTORED
    is_restored = mark.exists()
    epoch = await database.read(current)
    if epoch and not is_restored:
        return
    await database.write(_draw)
    if is_restored:
        mark.unlink(missing_ok=True)
        sync_folder(str(data_dir))


def current(connection: Connection) -> str:
    """The epoch; empty where none was drawn."""
    return connection.execute(sa.select(memory.c.epoch)).scalar() or ""


def _draw(connection: Connection) -> None:
    connection.execute(sa.delete(memory))
    connection.execute(sa.insert(memory).values(epoch=secrets.token_hex(16)))
