"""A run, as scripts and notebooks see it. Thin: each method is a function of the module that it names, which is told the run.

Names, arguments and shapes are Azure ML's SDK v1's. Reads and writes nothing itself.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, SupportsIndex

from runyard.errors import InputError

from . import children, job, lifecycle, marking, metrics
from .connection import Connection
from .recording import Recorder

if TYPE_CHECKING:
    from runyard.client import CollectorClient

    from .experiment import Experiment
    from .workspace import Workspace


class Run:
    """One run: `Run.get_context()` in a training, `Run(experiment, run_id)` anywhere else, or what a submit gives back.

    What is recorded through it (metrics, tags, children, …) is taken at once, whether or not the collector is there.
    What asks the collector (properties such as `status`, get_…) blocks, and raises what runyard.errors has.
    """

    _experiment: Experiment | None
    _outputs: str | None

    def __init__(self, experiment: Experiment, run_id: str, outputs: str | None = None) -> None:
        from . import requesting

        if not isinstance(run_id, str) or not run_id:
            raise InputError(f"the run id is {run_id!r}; it has to be a text, as run.id has it")
        connection = experiment.workspace.connection
        self._bind(run_id, experiment.name, connection, requesting.RequestRecorder(connection, run_id))
        self._experiment, self._outputs = experiment, outputs

    def _bind(
        self,
        run_id: str,
        experiment_name: str,
        connection: Connection | None,
        recorder: Recorder,
        *,
        record_key: str = "",
        is_context: bool = False,
    ) -> None:
        self._id = run_id
        self._experiment_name = experiment_name
        self._experiment = self._outputs = None
        self._connection = connection
        self._recorder = recorder
        # What records call this run: empty for the run whose recorder it is.
        self._record_key = record_key
        # The node's word tells how it is: complete and fail of it are no more than said.
        self._is_context = is_context
        # Who is told how this run is, in place of the records: (status, cause). For interactive runs.
        self._tell_status: Callable[[str, str], None] | None = None
        self._is_recorded = False  # a child that was made here: no node has it
        self._parent: Run | None = None  # where it is known
        self._kinds: dict[str, str] = {}  # of the metrics that were recorded here, by name
        self._file_paths: set[str] = set()  # of metrics that lie in files, given away here

    @classmethod
    def _made(
        cls,
        run_id: str,
        experiment_name: str,
        connection: Connection | None,
        recorder: Recorder,
        *,
        record_key: str = "",
        is_context: bool = False,
    ) -> Run:
        """A run of whoever knows its parts: the job's own, a child, an interactive run."""
        run = cls.__new__(cls)
        run._bind(run_id, experiment_name, connection, recorder, record_key=record_key, is_context=is_context)
        return run

    def __repr__(self) -> str:
        return f"Run(Experiment: {self._experiment_name}, Id: {self._id})"

    def __enter__(self) -> Run:
        """`with experiment.start_logging() as run:` or `with run.child_run() as child:`; its end is the block's."""
        return self

    def __exit__(self, kind: builtins.type[BaseException] | None, value: BaseException | None, trace: object) -> None:
        if value is None:
            self.complete()
        elif isinstance(value, KeyboardInterrupt):
            lifecycle.interrupted(self)
        elif isinstance(value, SystemExit):
            lifecycle.exited(self, value.code)
        else:
            self.fail(value)

    @property
    def _client(self) -> CollectorClient:
        """This thread's client; InputError where the run has no collector."""
        if self._connection is None:
            raise InputError(f"run {self._id} has no collector to ask; set RUNYARD_COLLECTOR_URL where it is started")
        return self._connection.client

    # Which run.

    @staticmethod
    def get_context(allow_offline: bool = True) -> Run:
        """The run that this process belongs to; the same object each time. See runyard/sdk/job.py. Does not block."""
        return job.get_context(allow_offline)

    @staticmethod
    def get(workspace: Workspace, run_id: str) -> Run:
        """The run of that id; CollectorRefused where there is none. Blocks."""
        from . import listing

        return listing.get(workspace, run_id)

    @staticmethod
    def list(
        experiment: Experiment,
        type: str | None = None,
        tags: Mapping[str, str] | Sequence[str] | str | None = None,
        properties: Mapping[str, str] | Sequence[str] | str | None = None,
        status: str | None = None,
        include_children: bool = False,
    ) -> Iterator[Run]:
        """The experiment's runs, newest first, as they are asked for. Blocks."""
        from . import listing

        return listing.list_runs(experiment, type, tags, properties, status, include_children)

    @staticmethod
    def list_by_compute(
        compute: Any,
        type: str | None = None,
        tags: Mapping[str, str] | Sequence[str] | str | None = None,
        properties: Mapping[str, str] | Sequence[str] | str | None = None,
        status: str | None = None,
    ) -> Iterator[Run]:
        """The runs of a cluster; `status`: "Running" or "Queued", or both where it is None. Blocks."""
        from . import listing

        return listing.list_by_compute(compute, type, tags, properties, status)

    @property
    def id(self) -> str:
        """Its id."""
        return self._id

    @property
    def name(self) -> str:
        """Its name; blocks."""
        from . import details

        return details.name(self)

    @property
    def display_name(self) -> str:
        """Its name; blocks."""
        return self.name

    @property
    def number(self) -> int:
        """Its number in the experiment, counted from 1; blocks."""
        from . import details

        return details.number(self)

    @property
    def type(self) -> str:
        """What kind of run it is, as "script"; blocks."""
        from . import details

        return details.kind(self)

    @property
    def parent(self) -> Run | None:
        """The run that it is a child of; blocks."""
        return children.parent_of(self)

    @property
    def status(self) -> str:
        """How it is: one of Azure ML's statuses; blocks."""
        return self.get_status()

    @property
    def tags(self) -> dict[str, str]:
        """As get_tags."""
        return self.get_tags()

    @property
    def properties(self) -> dict[str, str]:
        """As get_properties."""
        return self.get_properties()

    @property
    def experiment(self) -> Experiment:
        """The experiment that it is in."""
        if self._experiment is None:
            from . import experiment

            self._experiment = experiment.of_run(self)
        return self._experiment

    # What it records.

    def log(self, name: str, value: Any, description: str = "", step: SupportsIndex | None = None) -> None:
        """Record one value of a metric. Takes microseconds; see runyard/sdk/metrics.py."""
        metrics.log(self, name, value, step)

    def log_list(self, name: str, value: Iterable[Any], description: str = "") -> None:
        """Record several values of a metric, in their order."""
        metrics.log_list(self, name, value)

    def log_row(self, name: str, description: str | None = None, **kwargs: Any) -> None:
        """Record a row of a table metric."""
        metrics.log_row(self, name, kwargs)

    def log_table(self, name: str, value: Mapping[str, Iterable[Any]], description: str = "") -> None:
        """Record a table metric: its columns, of equal lengths."""
        metrics.log_table(self, name, value)

    def log_image(
        self, name: str, path: str | None = None, plot: Any = None, description: str = "", step: SupportsIndex | None = None
    ) -> None:
        """Record an image: a file's, or a plot (matplotlib.pyplot, or a figure)."""
        from . import file_metrics

        file_metrics.log_image(self, name, path, plot, step)

    def log_confusion_matrix(self, name: str, value: Mapping[str, Any] | str, description: str = "") -> None:
        """Record a confusion matrix: {schema_type, schema_version, data}, or that as JSON."""
        from . import file_metrics

        file_metrics.log_document(self, name, "confusion_matrix", value)

    def log_accuracy_table(self, name: str, value: Mapping[str, Any] | str, description: str = "") -> None:
        """Record an accuracy table: {schema_type, schema_version, data}, or that as JSON."""
        from . import file_metrics

        file_metrics.log_document(self, name, "accuracy_table", value)

    def log_residuals(self, name: str, value: Mapping[str, Any] | str, description: str = "") -> None:
        """Record residuals: {schema_type, schema_version, data}, or that as JSON."""
        from . import file_metrics

        file_metrics.log_document(self, name, "residuals", value)

    def log_predictions(self, name: str, value: Mapping[str, Any] | str, description: str = "") -> None:
        """Record predictions: {schema_type, schema_version, data}, or that as JSON."""
        from . import file_metrics

        file_metrics.log_document(self, name, "predictions", value)

    def log_param(self, key: str, value: Any) -> None:
        """Record a parameter; it has one value for good."""
        marking.log_params(self, {key: value})

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record several parameters."""
        marking.log_params(self, params)

    def tag(self, key: str, value: str | None = None) -> None:
        """Set a tag, replacing one of that key."""
        marking.set_tags(self, {key: "" if value is None else value})

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set several tags."""
        marking.set_tags(self, tags)

    def get_tags(self) -> dict[str, str]:
        """Its tags; blocks."""
        return marking.get_tags(self)

    def remove_tags(self, tags: Sequence[str] | str) -> None:
        """Take tags off, by their keys."""
        marking.remove_tags(self, tags)

    def add_properties(self, properties: Mapping[str, Any]) -> None:
        """Add properties; each is set once and never changes."""
        marking.add_properties(self, properties)

    def get_properties(self) -> dict[str, str]:
        """Its properties; blocks."""
        return marking.get_properties(self)

    def get_metrics(
        self,
        name: str | None = None,
        recursive: bool = False,
        run_type: str | None = None,
        populate: bool = False,
        as_lists: bool = False,
    ) -> dict[str, Any]:
        """Its metrics; blocks. See runyard/sdk/reading.py for the shapes."""
        from . import reading

        return reading.get_metrics(self, name, recursive, run_type, populate, as_lists)

    def flush(self, timeout_seconds: float = 300) -> bool:
        """Wait until the collector has what this process has recorded, at most that long; whether it has."""
        return lifecycle.flush(self, timeout_seconds)

    # How it goes on.

    def start(self) -> None:
        """Say that it runs."""
        lifecycle.start(self)

    def complete(self) -> None:
        """Say that it has ended well."""
        lifecycle.complete(self)

    def fail(self, error_details: str | BaseException | None = None, error_code: str | None = None) -> None:
        """Say that it has failed, and of what."""
        lifecycle.fail(self, error_details, error_code)

    def cancel(self) -> None:
        """Have it end, whatever state it is in."""
        lifecycle.cancel(self)

    def wait_for_completion(
        self, show_output: bool = False, wait_post_processing: bool = False, raise_on_error: bool = True
    ) -> dict[str, Any]:
        """Wait until it has ended; what get_details gives. Blocks. See runyard/sdk/waiting.py."""
        from . import waiting

        return waiting.wait_for_completion(self, show_output, wait_post_processing, raise_on_error)

    # Its children.

    def child_run(self, name: str | None = None, run_id: str | None = None, outputs: str | None = None) -> Run:
        """A new child, which runs already."""
        return children.child_run(self, name, run_id)

    def create_children(
        self, count: int | None = None, tag_key: str | None = None, tag_values: Sequence[str] | None = None
    ) -> builtins.list[Run]:
        """New children: `count` of them, or one for each of `tag_values`, tagged so; at most 100."""
        return children.create_children(self, count, tag_key, tag_values)

    def get_children(
        self,
        recursive: bool = False,
        tags: Mapping[str, str] | Sequence[str] | str | None = None,
        properties: Mapping[str, str] | Sequence[str] | str | None = None,
        type: str | None = None,
        status: str | None = None,
        _rehydrate_runs: bool = True,
    ) -> Iterator[Run]:
        """Its children, newest first, as they are asked for. Blocks."""
        return children.get_children(self, recursive, tags, properties, type, status)

    def submit_child(self, config: Any, tags: Mapping[str, str] | None = None) -> Run:
        """Submit a ScriptRunConfig as a child. Blocks."""
        from . import submitting

        return submitting.submit_child(self, config, tags)

    def set_goal(self, metric: str, goal: str) -> None:
        """Set what its children are compared by: a metric, and "minimize" or "maximize"."""
        from . import comparing

        comparing.set_goal(self, metric, goal)

    def get_best_child(self, metric: str | None = None, goal: str | None = None) -> Run | None:
        """The best child so far, None where none has a value: by its goal, or by another metric and goal. Blocks."""
        from . import comparing

        return comparing.get_best_child(self, metric, goal)

    def get_children_table(self, metric: str | None = None, goal: str | None = None) -> builtins.list[dict[str, Any]]:
        """Its children, a dict each: parameters, values, the best so far. Blocks. See runyard/sdk/comparing.py."""
        from . import comparing

        return comparing.get_children_table(self, metric, goal)

    # What is known of it.

    def get_status(self) -> str:
        """How it is; blocks."""
        from . import details

        return details.get_status(self)

    def get_details(self) -> dict[str, Any]:
        """What Azure ML's get_details gives; blocks. See runyard/sdk/details.py."""
        from . import details

        return details.get_details(self)

    def get_details_with_logs(self) -> dict[str, Any]:
        """The same, the logs' contents in place of their addresses; blocks."""
        from . import details

        return details.get_details_with_logs(self)

    def get_detailed_status(self) -> dict[str, Any]:
        """{"status", "details"}: how it is, and what it waits for; blocks."""
        from . import details

        return details.get_detailed_status(self)

    def get_portal_url(self) -> str:
        """The page of this run."""
        from . import details

        return details.get_portal_url(self)

    # Its files.

    def get_file_names(self) -> builtins.list[str]:
        """The paths of its files; blocks."""
        from . import files

        return files.get_file_names(self)

    def upload_file(self, name: str, path_or_stream: str | IO[bytes], datastore_name: str | None = None) -> Any:
        """Keep a file's bytes, as they are now, as the run's file `name`."""
        from . import files

        return files.upload_file(self, name, path_or_stream)

    def upload_files(
        self,
        names: Sequence[str],
        paths: Sequence[str],
        return_artifacts: bool = False,
        timeout_seconds: float | None = None,
        datastore_name: str | None = None,
    ) -> Any:
        """Keep several files."""
        from . import files

        return files.upload_files(self, names, paths, return_artifacts, timeout_seconds)

    def upload_folder(self, name: str, path: str, datastore_name: str | None = None) -> Any:
        """Keep all files below a folder, under `name`."""
        from . import files

        return files.upload_folder(self, name, path)

    def download_file(self, name: str, output_file_path: str | None = None, _validate_checksum: bool = False) -> None:
        """Write the run's file `name` to `output_file_path`, by default to its last part; blocks."""
        from . import files

        files.download_file(self, name, output_file_path)

    def download_files(
        self,
        prefix: str | None = None,
        output_directory: str | None = None,
        output_paths: Sequence[str] | None = None,
        batch_size: int = 100,
        append_prefix: bool | None = None,
        timeout_seconds: float | None = None,
    ) -> None:
        """Write the run's files below `prefix`; blocks."""
        from . import files

        files.download_files(self, prefix, output_directory, output_paths, append_prefix is not False)

    def get_all_logs(self, destination: str | None = None) -> builtins.list[str]:
        """Write all logs below `destination`; their paths. Blocks."""
        from . import files

        return files.get_all_logs(self, destination)
