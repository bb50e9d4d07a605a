"""The logs of the workers of a user's own torchrun, split by rank without a change to its command line.

With --log-dir and --tee each worker writes files of its own, byte for byte, and torchrun copies their lines, labelled with the
rank, to its own output: so the driver's log stays the whole. The files lie in the run's logs/ and are sent while they grow:
logs/torchrun/<id>/attempt_<n>/<local rank>/stdout.log and stderr.log. Pure, standard library only.
"""

from __future__ import annotations

from runyard.names import USER_LOGS_DIR

from .torchrun import says

LOGS_DIR = f"{USER_LOGS_DIR}/torchrun"

# Whoever says one of these has logs of the workers as they want them.
_OF_LOGS = ("--log-dir", "--redirects", "--tee", "--logs-specs")
_SHORT_OF_LOGS = ("-r", "-t")
_VARIABLES = ("PET_LOG_DIR", "PET_REDIRECTS", "PET_TEE")
_LABEL = "TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE"


def variables(flags: list[str], env: dict[str, str], log_dir: str) -> dict[str, str]:
    """What a torchrun with these flags is told, where neither they nor `env` say what becomes of the workers' logs."""
    is_said = says(flags, _OF_LOGS) or any(flag.startswith(_SHORT_OF_LOGS) for flag in flags)
    if is_said or any(name in env for name in _VARIABLES):
        return {}
    given = {"PET_LOG_DIR": log_dir, "PET_TEE": "3"}
    return given if _LABEL in env else given | {_LABEL: "[rank ${rank}] "}
