"""Amounts of bytes in sentences, in the units in which they are asked for, 23.54 GiB; and as people ask, 512m. Pure."""

from __future__ import annotations

_ASKED = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def text(count: int) -> str:
    """An amount with four digits, so that what is nearly enough does not read like what is asked for."""
    power = 0
    while count / 1024**power >= 1023.5 and power < len(_UNITS) - 1:
        power += 1
    return f"{count / 1024**power:.4g} {_UNITS[power]}"


def asked(text: str) -> int | None:
    """The bytes of a size as people and podman write it, 512m or 8g; None where it is none."""
    number, unit = text[:-1], text[-1:].lower()
    if unit not in _ASKED or not number.isascii() or not number.isdigit() or len(number) > 15 or not int(number):
        return None
    return int(number) * _ASKED[unit]
