"""A request's body as it comes from the socket."""

from __future__ import annotations

from typing import Protocol


class Body(Protocol):
    """An aiohttp StreamReader, as far as it is needed."""

    async def readchunk(self) -> tuple[bytes, bool]:
        """The next bytes that have come; none at the end, and at the end of an HTTP chunk."""

    def at_eof(self) -> bool:
        """Whether everything was read."""


async def next_piece(body: Body) -> bytes:
    """The next bytes that have come; none at the end."""
    while True:
        # Not the second member of the answer: aiohttp's one reader for all empty bodies says there that there is more.
        piece, _ = await body.readchunk()
        if piece or body.at_eof():
            return piece
