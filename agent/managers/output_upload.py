"""`output_upload`: copies what the run has put into its outputs to a store of the user's, in release. Through fsspec.

Reads the outputs folder (or `source`); writes to `url`. Killed in the middle it copies everything again.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs

from runyard.context import ContextManager, Job
from runyard.errors import InputError, PhaseError

THREADS = 8


class OutputUpload(ContextManager):
    """`url`, `options`, `secrets`: as a datastore's; `when`: always, or success. The run's id is added to the url."""

    def __init__(
        self,
        job: Job,
        *,
        url: str,
        options: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        source: str = "",
        when: str = "always",
    ) -> None:
        super().__init__(job)
        if when not in ("always", "success"):
            raise InputError(f"output_upload: when is {when!r}; it has to be always or success")
        self._url = f"{url.rstrip('/')}/{job.run_id}"
        self._options = dict(options or {})
        self._secrets = dict(secrets or {})
        self._source = job.outputs_dir if not source else (job.code_dir or job.work_dir) / source
        self._when = when

    def __enter__(self) -> OutputUpload:
        """Try the store now: a key that is wrong should not show after hours of training."""
        system, root = self._open()
        probe = f"{root}/.runyard"
        with _told(self._url):
            system.makedirs(root, exist_ok=True)
            system.pipe_file(probe, b"")
            system.rm_file(probe)
        self.job.say(f"Outputs will be uploaded to {self._url}.")
        return self

    def __exit__(self, *raised: object) -> None:
        if self._when == "success" and self.job.outcome.get("status") != "Completed":
            self.job.say("Outputs are not uploaded: the driver has not completed.")
            return
        system, root = self._open()
        files = [path for path in sorted(self._source.rglob("*")) if path.is_file() and not path.is_symlink()]
        with _told(self._url), ThreadPoolExecutor(THREADS) as pool:
            sizes = list(pool.map(lambda path: self._put(system, root, path), files))
        self.job.say(f"Outputs are uploaded to {self._url}: {len(files)} files, {sum(sizes)} bytes.")

    def _put(self, system: Any, root: str, path: Path) -> int:
        remote = f"{root}/{path.relative_to(self._source)}"
        system.makedirs(remote.rpartition("/")[0], exist_ok=True)
        system.put_file(str(path), remote)
        return path.stat().st_size

    def _open(self) -> tuple[Any, str]:
        with _told(self._url):
            system, root = url_to_fs(self._url, **self._options, **self.job.secrets(self._secrets))
        return system, root


class _told:  # noqa: N801 - used as a function
    """Maps whatever the store's library raises to one sentence; secrets stand in none of them."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, PhaseError) or not isinstance(error, Exception):
            return
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise PhaseError(f"outputs cannot be uploaded to {self._url}: {reason}") from error
