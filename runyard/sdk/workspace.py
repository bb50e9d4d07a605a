"""The collector as the SDK's users know it: where experiments, runs and clusters are found.

Reads the settings (runyard/configuration.py) and from GET experiments, clusters, runs; writes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from runyard import __version__, configuration, reader
from runyard.client import path_segment
from runyard.errors import InputError
from runyard.reader import Document
from runyard.settings import Settings

from .connection import Connection

if TYPE_CHECKING:
    from .experiment import Experiment
    from .run import Run

NO_COLLECTOR = (
    "no collector is set; set RUNYARD_COLLECTOR_URL, or collector_url under [client] in runyard.toml,"
    " or give Workspace(url, token)"
)
NO_TOKEN = "no token is set; set RUNYARD_TOKEN, or token_file under [client] in runyard.toml, or give Workspace(url, token)"  # noqa: S105


class Workspace:
    """One collector, known by its address and a token. Making it asks nothing of the collector; its token is never shown."""

    def __init__(self, url: str, token: str) -> None:
        """Raises InputError where the address or the token is none, ConfigError where this machine's settings are wrong."""
        if not url:
            raise InputError(NO_COLLECTOR)
        if not token:
            raise InputError(NO_TOKEN)
        self._connection = Connection(url, token)
        self._config_file = ""
        self._settings: Settings | None = None

    @classmethod
    def from_config(cls, path: str | os.PathLike[str] | None = None) -> Workspace:
        """The collector that variables and configuration files name; `path`: this runyard.toml, or the one in this folder,
        before others. Raises InputError where there is none, ConfigError where something in them is wrong."""
        config_file = "" if path is None else os.fspath(path)
        if config_file and Path(config_file).is_dir():
            config_file = str(Path(config_file, "runyard.toml"))
        loaded = configuration.load(config_file=config_file)
        workspace = cls(loaded.client.collector_url, loaded.token)
        workspace._config_file = config_file
        workspace._settings = loaded
        workspace._connection.timeout_s = loaded.client.timeout_s
        return workspace

    @classmethod
    def of_connection(cls, connection: Connection) -> Workspace:
        """The one at the other end of a connection that is there already."""
        workspace = cls.__new__(cls)
        workspace._connection = connection
        workspace._config_file = ""
        workspace._settings = None
        return workspace

    def __repr__(self) -> str:
        return f"Workspace({self._connection.url!r})"

    @property
    def connection(self) -> Connection:
        """The way to the collector, for the SDK's own modules."""
        return self._connection

    @property
    def config_file(self) -> str:
        """The configuration file that was named; empty: none was."""
        return self._config_file

    @property
    def settings(self) -> Settings:
        """All settings of this machine, with this collector and token in them. Blocks on files; raises ConfigError."""
        if self._settings is None:
            flags = {("client", "collector_url"): self._connection.url, ("client", "token"): self._connection.token}
            self._settings = configuration.load(flags=flags)
        return self._settings

    @property
    def url(self) -> str:
        """The collector's root."""
        return self._connection.url

    @property
    def name(self) -> str:
        """The collector's host and port."""
        return urlsplit(self._connection.url).netloc

    @property
    def experiments(self) -> dict[str, Experiment]:
        """The experiments by their names. Blocks; raises CollectorError."""
        from .experiment import Experiment

        return {one["name"]: Experiment(self, one["name"]) for one in reader.experiments(self._connection.client)}

    @property
    def compute_targets(self) -> dict[str, ComputeTarget]:
        """The clusters by their names. Blocks; raises CollectorError."""
        found = self._connection.client.json("GET", "/clusters")
        return {one["cluster"]: ComputeTarget(self, one["cluster"]) for one in found["clusters"]}

    def get_details(self) -> dict[str, Any]:
        """{"id", "name", "portalUrl", "apiVersion", "sdkVersion"}; asks nothing of the collector."""
        return {
            "id": self.url,
            "name": self.name,
            "portalUrl": self.url,
            "apiVersion": "v1",
            "sdkVersion": __version__,
        }

    def get_run(self, run_id: str) -> Run:
        """The run of that id; InputError, naming the nearest id there is, where there is none. Blocks."""
        from . import listing

        return listing.get(self, run_id)


class ComputeTarget:
    """A cluster; it, or its name, is the compute_target of a ScriptRunConfig. Methods block, and raise CollectorError."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace = workspace
        self.name = name

    def __repr__(self) -> str:
        return f"ComputeTarget({self.name!r})"

    def get_status(self) -> Document:
        """How many of its nodes are in which status, what they have together, how many runs it has."""
        found: Document = self._get("")
        return found

    def list_nodes(self) -> list[Document]:
        """Its nodes: what they are, do and use."""
        nodes: list[Document] = self.workspace.connection.client.json("GET", "/nodes", params={"cluster": self.name})["nodes"]
        return nodes

    def get_active_runs(
        self, type: str | None = None, tags: Any = None, properties: Any = None, status: Any = None
    ) -> Iterator[Run]:
        """Its runs that are queued or active, in the order in which they get nodes."""
        from . import listing

        return listing.list_by_compute(self, type, tags, properties, status)

    def _get(self, below: str) -> Any:
        return self.workspace.connection.client.json("GET", f"/clusters/{path_segment(self.name)}{below}")
