"""Points in time as a person gives them: `10m`, `2h`, `1d`, or RFC 3339. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from runyard.errors import InputError

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.ASCII)


def since_ns(text: str, now_ns: int) -> int:
    """Nanoseconds since 1970 of the moment `text` names: so long before `now_ns`, or an RFC 3339 time (without a zone: UTC)."""
    spans = _SPAN.findall(text)
    if spans and "".join(number + unit for number, unit in spans) == text:
        return max(0, now_ns - round(sum(float(number) * UNITS_S[unit] for number, unit in spans) * 1e9))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        right = "give a span as 90s, 10m, 2h or 1d, or RFC 3339: 2026-11-24T09:30:00Z"
        raise InputError(f"--since {text!r} is no time; {right}") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return max(0, (delta.days * 86400 + delta.seconds) * 10**9 + delta.microseconds * 1000)
