"""The preparation phase: brings code and data to the node and enters the context managers. Its log is 65.

Reads the collector's snapshots and the run's datastores; writes the run's work folder. Where context managers were entered its
process stays until release asks it to leave them: they may hold what only this process has.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict
from typing import Any

from runyard import names
from runyard.agent import work_folder
from runyard.agent.journal import SystemLog
from runyard.atomic import read_json
from runyard.client import CollectorClient
from runyard.spec import DOWNLOAD, Datastore

from .code_outputs import link_kept
from .job import job_of, managers_of
from .managing import Managers
from .phase import Phase

TIMEOUT_S = 30.0
RELEASE_LOOK_S = 0.1


def run(phase: Phase) -> dict[str, Any]:
    """Prepare the node; what the driver is to be started with."""
    return Preparation(phase).run()


class Preparation:
    """Preparation's steps in order."""

    def __init__(self, phase: Phase) -> None:
        self._phase = phase
        self._job = job_of(phase)
        self._log = SystemLog(str(phase.run_dir / names.PREPARATION_SYSTEM_LOG), "runyard.preparation")
        self._sidecar: Any = None
        self._managers = Managers(managers_of(phase.spec), self._job, phase.run_dir)

    def run(self) -> dict[str, Any]:
        """Blocks until all is there; the result's data."""
        phase, run = self._phase, self._phase.run
        if os.environ.get("RUNYARD_SIDECAR"):
            from .sidecar import Sidecar

            self._sidecar = Sidecar(phase)
            self._sidecar.begin_preparation([one.use for one in managers_of(phase.spec)])
        phase.say(f"Starting job preparation on node {run['node_id']} ({run['node_ip']}).")
        self._log.info("preparation starts", run_id=run["run_id"], node_id=run["node_id"], pid=os.getpid())
        work_folder.claim(run)
        self._note_use()
        self._fetch_code()
        for store in phase.spec.datastores:
            if store.mode == DOWNLOAD:
                self._download(store)
        self._enter()
        phase.say("Job preparation is complete.")
        self._log.info("preparation is complete")
        phase.afterwards = self._hold if managers_of(phase.spec) or self._sidecar else None
        if phase.copy is not None:
            phase.copy.flush()
        code_dir = str(self._job.code_dir) if self._job.code_dir else ""
        return {"code_dir": code_dir, "env": self._job.env, "volumes": [asdict(volume) for volume in self._job.volumes]}

    def _note_use(self) -> None:
        # A work folder that nodes share is removed by the last one of them.
        users = self._phase.work_dir / ".users"
        users.mkdir(mode=names.DIR_MODE, exist_ok=True)
        (users / self._phase.run["node_id"]).touch()

    def _fetch_code(self) -> None:
        packed = self._phase.run.get("snapshot")
        if not packed or self._job.code_dir is None:
            return
        from . import snapshot

        say = self._phase.say
        say(f"Fetching the code: snapshot {packed['id'][:16]}, {packed['files']} files, {packed['size_bytes']} bytes.")
        archive = snapshot.fetch(packed["id"], self._phase.cache_dir, self._client())
        snapshot.unpack_once(archive, self._job.code_dir, say)
        say(f"The code lies in {self._job.code_dir}.")
        self._log.info("code is there", snapshot=packed["id"])
        for name in (names.OUTPUTS_DIR, names.USER_LOGS_DIR):
            link_kept(self._job.code_dir / name, self._phase.run_dir / name, say)

    def _client(self) -> CollectorClient | None:
        run = self._phase.run
        return CollectorClient(run["collector_url"], run["run_token"], timeout_s=TIMEOUT_S) if run["collector_url"] else None

    def _download(self, store: Datastore) -> None:
        from . import datastore  # fsspec takes a while to load, and many runs have no data of this kind

        target = self._job.data_dir / (store.path or store.name)
        secrets = self._job.secrets(store.secrets)
        try:
            got = datastore.download(store, target, say=self._phase.say, secrets=secrets)
        except OSError:  # a full disk, most likely: what is half there must not keep the rest of the node from working
            self._log.error("a datastore could not be written", datastore=store.name)
            raise
        self._job.env[store.variable] = str(target)
        self._log.info("datastore is there", datastore=store.name, files=got.files, bytes=got.size_bytes)

    def _enter(self) -> None:
        if self._job.code_dir is not None:
            sys.path.insert(0, str(self._job.code_dir))
        self._managers.enter()

    def _hold(self) -> None:
        """Stay until release asks, then leave the context managers."""
        request = self._phase.run_dir / names.RELEASE_REQUEST
        while not request.exists():
            time.sleep(RELEASE_LOOK_S)
        self._job.outcome = (read_json(str(request)) or {}).get("outcome") or {}
        if self._sidecar:
            self._sidecar.begin_release()
        else:
            self._phase.log_to(names.release_log(self._phase.run["node_id"]))
        self._managers.leave()
        if self._sidecar:
            self._sidecar.end_release()
