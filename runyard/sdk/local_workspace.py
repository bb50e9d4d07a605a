"""A workspace without a collector: interactive runs begin in this machine's spool, and `runyard ship` sends them some day."""

from __future__ import annotations

from typing import NoReturn

from runyard.errors import InputError

from .workspace import NO_COLLECTOR, Workspace


class LocalWorkspace(Workspace):
    """For Experiment(LocalWorkspace(), name).start_logging(); whatever would ask the collector raises InputError."""

    def __init__(self) -> None:
        self._config_file = ""
        self._settings = None

    def __repr__(self) -> str:
        return "LocalWorkspace()"

    @property
    def connection(self) -> NoReturn:
        """There is none."""
        raise InputError(NO_COLLECTOR)

    @property
    def url(self) -> str:
        """Empty."""
        return ""

    @property
    def name(self) -> str:
        """What it is called where a collector's host would stand."""
        return "local"
