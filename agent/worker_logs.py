"""The logs of the workers of a user's own torchrun, split by rank without a change to its command line.

torchrun takes its flags also from variables, PET_<FLAG>, which no other program reads. With --log-dir and --tee each worker
writes files of its own, byte for byte, and torchrun copies their lines, labelled with the rank, to its own output: so the
driver's log stays the whole. The files lie in the run's logs/ and are sent while they grow:
logs/torchrun/<id>/attempt_<n>/<local rank>/stdout.log and stderr.log. Pure, standard library only.
"""

from __future__ import annotations

import os

from runyard.names import USER_LOGS_DIR

LOGS_DIR = f"{USER_LOGS_DIR}/torchrun"

_MODULES = ("torch.distributed.run", "torch.distributed.launch")
# Whoever says one of these has logs of the workers as they want them.
_OF_LOGS = ("--log-dir", "--log_dir", "--redirects", "--tee", "--logs-specs", "--logs_specs")
_SHORT_OF_LOGS = ("-r", "-t")
_VARIABLES = ("PET_LOG_DIR", "PET_REDIRECTS", "PET_TEE")
# torchrun's flags that take no value.
_BARE = frozenset((
    *("--standalone", "-m", "--module", "--no-python", "--no_python", "--run-path", "--run_path", "-h", "--help"),
    *("--virtual-local-rank", "--virtual_local_rank", "--use-env", "--use_env"),
))  # fmt: skip


def variables(argv: list[str], env: dict[str, str], log_dir: str) -> dict[str, str]:
    """What torchrun is told, where `argv` starts one and neither it nor `env` says what becomes of the workers' logs."""
    flags = _flags(argv)
    if flags is None or any(name in env for name in _VARIABLES) or any(map(_is_of_logs, flags)):
        return {}
    given = {"PET_LOG_DIR": log_dir, "PET_TEE": "3"}
    if "TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE" not in env:
        given["TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE"] = "[rank ${rank}] "
    return given


def _flags(argv: list[str]) -> list[str] | None:
    """torchrun's own flags, without those of the script that it starts; None where no torchrun is started."""
    for position, word in enumerate(argv):
        if os.path.basename(word) == "torchrun" or (word in _MODULES and argv[position - 1] == "-m"):
            return _own_flags(argv[position + 1 :])
    return None


def _own_flags(words: list[str]) -> list[str]:
    found, is_value = [], False
    for word in words:
        if is_value:
            is_value = False
        elif word.startswith("-") and word != "--":
            found.append(word)
            is_value = word not in _BARE and "=" not in word and (word.startswith("--") or len(word) == 2)
        else:
            break  # the script
    return found


def _is_of_logs(flag: str) -> bool:
    """Also where it is cut short, as argparse allows, or has its value in the same word."""
    if not flag.startswith("--"):
        return flag.startswith(_SHORT_OF_LOGS)
    name = flag.partition("=")[0]
    return any(known.startswith(name) for known in _OF_LOGS)
