"""A run's files: uploading, listing and downloading them, with Azure ML's names and shapes.

In a job, a file's bytes are kept on the node as a blob and a record names it; the agent ships both, so the collector may be
away. Of a run that was fetched, files go to the collector at once. Of an offline run they stay in its folder here.
Reads from GET /runs/{run_id}/artifacts; uploading.py and downloading.py have the rest.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from runyard import names, reader
from runyard.errors import CollectorRefused, InputError
from runyard.tracking.blobs import Kept, digest_of, keep

from .offline import OfflineRecorder

if TYPE_CHECKING:
    from runyard.client import CollectorClient

    from .run import Run

# Several at a time hide the way to the collector; more would only share it.
AT_ONCE = 4
# How long what this process has recorded may take to the collector before it is asked for this run's files.
SETTLE_S = 60.0
ASSETS = "assets"
_LOG = re.compile(rf"([^/]+/)?({names.LOGS_DIR}|{names.USER_LOGS_DIR})/.+")

Source = str | os.PathLike[str] | bytes | IO[bytes]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a run that was uploaded."""

    path: str
    sha256: str
    size_bytes: int


def upload_file(run: Run, name: str, path_or_stream: Source) -> Artifact:
    """Keep a file's bytes, as they are now, as the run's file `name`, in place of one that is there.

    Raises InputError for a name or source that is no good; in a job SpoolError where the node's disk is full, of a run that was
    fetched CollectorError. Blocks: in a job for a copy on the node's disk, else until the collector has it.
    """
    name = _checked_name(name)
    recorder = run._recorder
    if not recorder.blobs_dir:
        return _sent(run, name, path_or_stream)
    kept = keep(path_or_stream, recorder.blobs_dir)
    recorder.write(["a", run._record_key, name, kept.sha256, kept.size_bytes, time.time_ns() // 10**6])
    return Artifact(name, kept.sha256, kept.size_bytes)


def upload_files(
    run: Run,
    file_names: Sequence[str],
    paths: Sequence[Source],
    return_artifacts: bool = False,
    timeout_seconds: float | None = None,
) -> dict[str, Artifact] | None:
    """Keep several files; with `return_artifacts`, what was kept, by name. `timeout_seconds` is Azure ML's, and not needed: a
    file that cannot be sent raises. As upload_file else."""
    if len(file_names) != len(paths):
        raise InputError(f"{len(file_names)} names and {len(paths)} paths were given; each file needs one of both")
    checked = [_checked_name(name) for name in file_names]
    twice = next((name for position, name in enumerate(checked) if name in checked[:position]), None)
    if twice is not None:
        raise InputError(f"the name {twice!r} is given twice; each file needs its own")
    made = _each(lambda pair: upload_file(run, *pair), list(zip(checked, paths, strict=True)))
    return {one.path: one for one in made} if return_artifacts else None


def upload_folder(run: Run, name: str, path: str | os.PathLike[str]) -> dict[str, Artifact]:
    """Keep all files below a folder, each under `name` and its path there; what was kept, by name. Links to files are followed,
    links to folders are not. As upload_file else."""
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"a folder is a path; {type(path).__name__} was given")
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; upload_file takes a file")
    found = sorted(file for parent, _, files in os.walk(folder) for file in (Path(parent, one) for one in files))
    prefix = "" if name in ("", ".") else name.rstrip("/") + "/"
    pairs = [(f"{prefix}{file.relative_to(folder).as_posix()}", file) for file in found if file.is_file()]
    for each, _ in pairs:
        _checked_name(each)
    return {one.path: one for one in _each(lambda pair: upload_file(run, *pair), pairs)}


def get_file_names(run: Run) -> list[str]:
    """The paths of the run's files: its logs, its outputs, and what was uploaded, sorted. Blocks; raises CollectorError."""
    if isinstance(run._recorder, OfflineRecorder):
        return sorted(_here(run))
    return [str(file["path"]) for file in _listed(run)]


def download_file(run: Run, name: str, output_file_path: str | os.PathLike[str] | None = None) -> None:
    """Write the run's file `name` to `output_file_path` (by default the last part of `name`; in it, where it is a folder).

    The file appears whole, with its digest checked, or not at all. Blocks; raises InputError where there is no such file, or
    CollectorError."""
    if not isinstance(name, str):
        raise InputError(f"a file's name is a text, as 'outputs/model.pt', not {name!r}")
    target = Path(name.rpartition("/")[2] if output_file_path is None else output_file_path)
    if target.is_dir() or str(output_file_path or "").endswith("/"):
        target /= name.rpartition("/")[2]
    _settle(run)
    _fetch(run, name, target)


def download_files(
    run: Run,
    prefix: str | None = None,
    output_directory: str | os.PathLike[str] | None = None,
    output_paths: Sequence[str] | None = None,
    append_prefix: bool = True,
) -> None:
    """Write the run's files whose path starts with `prefix` (all, where it is None) below `output_directory` (here, where it is
    None): under their own paths, without the prefix where `append_prefix` is false, or as `output_paths` says, one for each in
    the order of get_file_names. Blocks; raises as download_file does."""
    chosen = [name for name in get_file_names(run) if name.startswith(prefix or "")]
    if output_paths is not None and len(output_paths) != len(chosen):
        raise InputError(f"{len(output_paths)} output_paths are given for {len(chosen)} files")
    folder = Path(output_directory or ".")
    cut = 0 if append_prefix else len(prefix or "")
    ends = output_paths or [name[cut:].lstrip("/") or name.rpartition("/")[2] for name in chosen]
    targets = [folder / end if output_paths is not None else _below(folder, end) for end in ends]
    _each(lambda pair: _fetch(run, *pair), list(zip(chosen, targets, strict=True)))


def get_all_logs(run: Run, destination: str | os.PathLike[str] | None = None) -> list[str]:
    """Write all logs of the run below `destination` (by default ./assets/<run id>), under their own paths; the paths of what
    was written. Blocks; raises as download_file does."""
    folder = Path(ASSETS, run.id) if destination is None else Path(destination)
    logs = [name for name in get_file_names(run) if _LOG.fullmatch(name)]
    targets = [_below(folder, name) for name in logs]
    _each(lambda pair: _fetch(run, *pair), list(zip(logs, targets, strict=True)))
    return [str(target) for target in targets]


def why_bad_name(name: str) -> str:
    """What keeps a file of a run from having that name, as the end of a sentence; empty where nothing does."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "is not UTF-8, and the collector's names are text"
    return names.why_bad_stream_name(name)


def _checked_name(name: str) -> str:
    if not isinstance(name, str):
        raise InputError(f"a file's name is a text, as 'outputs/model.pt', not {name!r}")
    plain = name.removeprefix("./")
    bad = why_bad_name(plain)
    if bad:
        raise InputError(f"the file's name {name[:200]!r} {bad}; a name looks like 'outputs/model.pt'")
    return plain


def _sent(run: Run, name: str, source: Source) -> Artifact:
    """To the collector. A file is sent from where it lies; all else is copied first."""
    client = run._client  # raises where there is none, before anything is read
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        return _put(run, client, name, path, digest_of(str(path)))
    with tempfile.TemporaryDirectory(prefix="runyard-upload-") as folder:
        kept = keep(source, folder)
        return _put(run, client, name, Path(folder, kept.sha256), kept)


def _put(run: Run, client: CollectorClient, name: str, path: Path, kept: Kept) -> Artifact:
    from . import uploading

    try:
        uploading.put_file(client, run.id, name, path, kept)
    except CollectorRefused as error:
        if error.status not in (403, 404) or not run._record_key:
            raise
        run._recorder.settle(SETTLE_S)  # a child that the collector is about to learn of
        uploading.put_file(client, run.id, name, path, kept)
    return Artifact(name, kept.sha256, kept.size_bytes)


def _listed(run: Run) -> Iterable[dict[str, Any]]:
    _settle(run)
    return reader.artifacts(run._client, run.id)


def _settle(run: Run) -> None:
    """What this process has uploaded is to be found."""
    run._recorder.settle(SETTLE_S)


def _here(run: Run) -> dict[str, str]:
    """An offline run's files: name -> digest."""
    recorder = run._recorder
    assert isinstance(recorder, OfflineRecorder)
    recorded = recorder.replay.runs.get(run._record_key)
    return dict(recorded.artifacts) if recorded else {}


def _fetch(run: Run, name: str, target: Path) -> None:
    if isinstance(run._recorder, OfflineRecorder):
        _copy(run, name, target)
        return
    from . import downloading

    try:
        downloading.get_file(run._client, run.id, name, target)
    except CollectorRefused as error:
        if error.status == 404 and error.code == "no-such-file":
            close = reader.nearest(name, get_file_names(run))
            raise InputError(f"run {run.id} has no file {name!r}{f'; did you mean {close!r}?' if close else ''}") from error
        raise


def _copy(run: Run, name: str, target: Path) -> None:
    sha256 = _here(run).get(name)
    if sha256 is None:
        raise InputError(f"run {run.id} has no file {name!r}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(run._recorder.blobs_dir, sha256), target)
    except OSError as error:
        raise InputError(f"the file {target} cannot be written: {error.strerror}") from error


def _below(folder: Path, name: str) -> Path:
    """`name` below `folder`, wherever it comes from."""
    bad = names.why_bad_stream_name(name)
    if bad:
        raise InputError(f"the file {name[:200]!r} cannot be put below {folder}: its name {bad}")
    return folder / name


def _each(work: Callable[[tuple[str, Any]], Any], pairs: Sequence[tuple[str, Any]]) -> list[Any]:
    """The results of all, some at a time; the first failure is raised, and what has not begun then is not done."""
    if len(pairs) < 2:
        return [work(pair) for pair in pairs]
    with ThreadPoolExecutor(min(AT_ONCE, len(pairs)), "runyard-files") as threads:
        futures = [threads.submit(work, pair) for pair in pairs]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
