"""What a run is from its start, as properties of it: the code that was packed, and the environment that was asked for.

Writes one journal below .runyard/tracking of the run's folder, which is shipped as every journal is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from runyard import names

if TYPE_CHECKING:
    from runyard.spec import Environment, Snapshot

# As Azure ML calls it.
SNAPSHOT = "ContentSnapshotId"
ENVIRONMENT = "runyard.environment"
_MOST_CHARACTERS = 500


def record(run_dir: Path, snapshot: Snapshot | None, environment: Environment | None) -> None:
    """Write them. Every node and every attempt says the same, so that it does not matter who comes first."""
    found = []
    if snapshot is not None:
        found.append((SNAPSHOT, snapshot.id))
    if environment is not None:
        found.append((ENVIRONMENT, in_words(environment)))
    if not found:
        return
    from runyard.tracking.journal import Journal

    journal = Journal(str(run_dir / names.TRACKING_DIR))
    journal.append(b"".join(json.dumps(["y", "", key, value]).encode() + b"\n" for key, value in found))
    journal.close()


def in_words(environment: Environment) -> str:
    """Its kind, and of a container the image or what that is built from."""
    image = environment.image or Path(environment.containerfile).name
    return " ".join(word for word in (environment.kind, image) if word)[:_MOST_CHARACTERS]
