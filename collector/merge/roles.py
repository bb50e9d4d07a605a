"""Which streams of a run go into which of its run-level files. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runyard import names

EXECUTION, OUT, ERR, INFO, STATUS = "execution", "out", "err", "info", "status"
# The run-level files by what they are; their streams belong to no node.
FILES = {
    EXECUTION: names.EXECUTION_LOGS,
    OUT: names.STDOUT_LOGS,
    ERR: names.STDERR_LOGS,
    INFO: names.PROCESS_INFO,
    STATUS: names.PROCESS_STATUS,
}

_DRIVER = re.compile(rf"{names.LOGS_DIR}/70_driver_log(?:_(\d+))?\.txt")
_EXECUTION = re.compile(rf"{names.LOGS_DIR}/(?:(20)_image_build_log|(55)_azureml-execution-.+|(65)_job_prep-.+|(70)_mpi_log"
                        r"|(75)_job_post-.+)\.txt")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Role:
    """What one stream is in the merge: `kind` is driver, index, execution, info or status; `what` names it in labels."""

    kind: str
    what: str = ""


def role_of(name: str) -> Role | None:
    """The role of a node's stream; None where it has none."""
    if match := _DRIVER.fullmatch(name):
        return Role("driver", f"rank {int(match[1] or 0)}")
    if name.startswith(names.INDEX_DIR + "/"):
        log = name[len(names.INDEX_DIR) + 1 :].removesuffix(names.INDEX_SUFFIX)
        return Role("index", log) if _DRIVER.fullmatch(log) else None
    if match := _EXECUTION.fullmatch(name):
        return Role(EXECUTION, f"log {next(filter(None, match.groups()))}")
    return {names.PROCESS_INFO: Role(INFO), names.PROCESS_STATUS: Role(STATUS)}.get(name)
