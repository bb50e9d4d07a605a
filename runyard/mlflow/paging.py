"""Page tokens as MLflow's clients pass them on: how much of the list they have had. Pure."""

from __future__ import annotations

import base64
import binascii
import json

from .errors import invalid


def offset_of(token: str) -> int:
    """How many entries a page token stands for; raises MlflowError where it is none. No token: none."""
    if not token:
        return 0
    try:
        offset = json.loads(base64.b64decode(token, validate=True))["offset"]
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise invalid("Invalid page token: it has to be one that an earlier answer gave") from error
    if not isinstance(offset, int) or not 0 <= offset < 2**62:
        raise invalid("Invalid page token: it has to be one that an earlier answer gave")
    return offset


def token_at(offset: int) -> str:
    """The token of the page that begins after `offset` entries."""
    return base64.b64encode(json.dumps({"offset": offset}).encode()).decode()
