"""Warnings of a run: sentences on what of its records could not be taken.

Reads from and writes to the table `warnings`. Blocks; gets the connection of its transaction.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import warnings

MOST_WARNINGS = 200  # of a run; after them, nothing but that there are more
MOST_CHARACTERS = 500
_MORE = "there are more warnings than are kept"


def warn(connection: Connection, run_id: str, sentences: Iterable[str], now_ms: int) -> None:
    """Keep each sentence, once."""
    fresh = dict.fromkeys(sentence.replace("\0", "\ufffd")[:MOST_CHARACTERS] for sentence in sentences)
    if not fresh:
        return
    known = set(of_run(connection, run_id))
    number = len(known)
    rows = []
    for text in (text for text in fresh if text not in known):
        if number > MOST_WARNINGS:
            break
        text = text if number < MOST_WARNINGS else _MORE
        rows.append({"run_id": run_id, "number": number, "at_ms": now_ms, "text": text})
        number += 1
    if rows:
        connection.execute(sa.insert(warnings), rows)


def of_run(connection: Connection, run_id: str) -> list[str]:
    """The warnings of a run, in the order in which they came."""
    query = sa.select(warnings.c.text).where(warnings.c.run_id == run_id).order_by(warnings.c.number)
    return list(connection.execute(query).scalars())
