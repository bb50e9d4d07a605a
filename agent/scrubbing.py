"""Takes secrets out of what foreign libraries say, and out of addresses. Pure, standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, urlsplit

# Shorter ones are parts of other words.
SHORTEST_SECRET = 4
HIDDEN = "***"
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s<>\"'`,;)\]}]+")
# A password may hold what ends an address; up to the @ it is one all the same.
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s/]*@")


class Scrubber:
    """Hides these values, as they are and as they stand in an address, and what may be secret in any address."""

    def __init__(self, secrets: Iterable[str]) -> None:
        whole_and_lines = {part for one in secrets for part in (one, *one.splitlines()) if len(part) >= SHORTEST_SECRET}
        forms = {form for one in whole_and_lines for form in (one, quote(one, ""), quote_plus(one), repr(one)[1:-1])}
        self._forms = sorted(forms, key=len, reverse=True)

    def scrubbed(self, text: str) -> str:
        """The text with *** in place of each."""
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        text = _USERINFO.sub(r"\1", text)
        return _ADDRESS.sub(lambda match: shown(match[0]), text)


def shown(url: str) -> str:
    """An address without what may be a secret in it: a password, and a query, which may be a signature."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that is none"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
