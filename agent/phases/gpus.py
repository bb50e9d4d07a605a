"""The flags by which podman gives a container GPUs: CDI where the node describes them that way, the raw devices otherwise.

Reads CDI descriptions (the vendor's `nvidia-ctk cdi generate` writes them) and /dev.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from runyard.errors import PhaseError

AUTO = "auto"
CDI_DIRS = (Path("/etc/cdi"), Path("/var/run/cdi"))
DEV = Path("/dev")

_KIND = "nvidia.com/gpu"
# YAML or JSON; only the names are wanted, and those that are numbers are whole GPUs.
_CDI_KIND = re.compile(rf"""\bkind["']?\s*:\s*["']?{re.escape(_KIND)}\b""")
_CDI_NAME = re.compile(r"""\bname["']?\s*:\s*["']?(\d+)["']?\s*(?=[,}\n]|$)""")


def flags(
    wanted: str, chosen: Sequence[int] | None = None, *, cdi_dirs: Sequence[Path] = CDI_DIRS, dev: Path = DEV
) -> list[str]:
    """podman's flags for `wanted` GPUs: a number, or auto for all there are; or for those that the run was given on this node,
    counted from 0, which are `chosen`. Raises PhaseError where the node has too few."""
    described = _described(cdi_dirs)
    cards = sorted((path for path in dev.glob("nvidia[0-9]*") if path.name[6:].isdigit()), key=lambda path: int(path.name[6:]))
    count = len(described) or len(cards)
    if chosen is not None:
        return _of_chosen(chosen, described, cards, dev)
    if wanted != AUTO and int(wanted) > count:
        raise PhaseError(f"resources.gpus is {wanted}, and this node has {count}; ask for at most so many")
    number = count if wanted == AUTO else int(wanted)
    if number == 0:
        return []
    if described:
        some = ["all"] if wanted == AUTO else described[:number]
        return [f"--device={_KIND}={name}" for name in some]
    return [f"--device={path}" for path in (*cards[:number], *_shared_devices(dev))]


def _of_chosen(chosen: Sequence[int], described: Sequence[str], cards: Sequence[Path], dev: Path) -> list[str]:
    if any(number >= (len(described) or len(cards)) for number in chosen):
        raise PhaseError(f"the run was given the GPUs {', '.join(map(str, chosen))}, and this node has lost some of them")
    if described:
        return [f"--device={_KIND}={described[number]}" for number in chosen]
    return [f"--device={path}" for path in (*(cards[number] for number in chosen), *_shared_devices(dev))] if chosen else []


def _described(cdi_dirs: Sequence[Path]) -> list[str]:
    """Names of the node's GPUs in CDI descriptions, in their order."""
    names: set[int] = set()
    for folder in cdi_dirs:
        for path in (*folder.glob("*.yaml"), *folder.glob("*.yml"), *folder.glob("*.json")):
            text = path.read_text(errors="replace")
            if _CDI_KIND.search(text):
                names |= {int(name) for name in _CDI_NAME.findall(text)}
    return [str(name) for name in sorted(names)]


def _shared_devices(dev: Path) -> list[Path]:
    """Devices of the driver that every GPU's user needs."""
    found = [dev / name for name in ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")]
    return [path for path in (*found, *sorted(dev.glob("nvidia-caps/*"))) if path.exists()]
