"""Amounts of bytes in sentences, in the units in which they are asked for: 23.54 GiB, 512 MiB. Pure."""

from __future__ import annotations

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def text(count: int) -> str:
    """An amount with four digits, so that what is nearly enough does not read like what is asked for."""
    power = 0
    while count / 1024**power >= 1023.5 and power < len(_UNITS) - 1:
        power += 1
    return f"{count / 1024**power:.4g} {_UNITS[power]}"
