"""`output_upload`: copies what the run has put into its outputs to a store of the user's, in release. Through fsspec.

Reads the outputs folder (or `source`); writes to `url`. Killed in the middle it copies everything again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs

from runyard.agent.scrubbing import Scrubber, shown
from runyard.context import ContextManager, Job
from runyard.errors import InputError, PhaseError
from runyard.spec_secrets import check_url

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
        check_url(url, "output_upload: url")
        self._url = f"{url.rstrip('/')}/{job.run_id}"
        self._options = dict(options or {})
        self._secrets = dict(secrets or {})
        self._source = job.outputs_dir if not source else (job.code_dir or job.work_dir) / source
        self._when = when

    def __enter__(self) -> OutputUpload:
        """Try the store now: a key that is wrong should not show after hours of training."""
        with self._told() as secrets:
            system, root = self._open(secrets)
            probe = f"{root}/.runyard"
            system.makedirs(root, exist_ok=True)
            system.pipe_file(probe, b"")
            system.rm_file(probe)
        self.state["is_tried"] = True
        self.job.say(f"Outputs will be uploaded to {shown(self._url)}.")
        return self

    def __exit__(self, *raised: object) -> None:
        if not self.state.get("is_tried"):  # the run was stopped before, or the store did not answer in time
            return
        if self._when == "success" and self.job.outcome.get("status") != "Completed":
            self.job.say("Outputs are not uploaded: the driver has not completed.")
            return
        files = [path for path in sorted(self._source.rglob("*")) if path.is_file() and not path.is_symlink()]
        with self._told() as secrets, ThreadPoolExecutor(THREADS) as pool:
            system, root = self._open(secrets)
            sizes = list(pool.map(lambda path: self._put(system, root, path), files))
        self.job.say(f"Outputs are uploaded to {shown(self._url)}: {len(files)} files, {sum(sizes)} bytes.")

    def _put(self, system: Any, root: str, path: Path) -> int:
        remote = f"{root}/{path.relative_to(self._source)}"
        system.makedirs(remote.rpartition("/")[0], exist_ok=True)
        system.put_file(str(path), remote)
        return path.stat().st_size

    def _open(self, secrets: Mapping[str, str]) -> tuple[Any, str]:
        system, root = url_to_fs(self._url, **self._options, **secrets)
        return system, root

    @contextmanager
    def _told(self) -> Iterator[Mapping[str, str]]:
        """The secrets' values; maps whatever the store's library raises in the block to one sentence without them."""
        secrets = self.job.secrets(self._secrets)
        try:
            yield secrets
        except Exception as error:  # noqa: BLE001 - libraries raise what they like, and their words may hold a key
            said = Scrubber(secrets.values()).scrubbed(str(error)).strip().partition("\n")[0] or type(error).__name__
            raise PhaseError(f"outputs cannot be uploaded to {shown(self._url)}: {said}") from None
