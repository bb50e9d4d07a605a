"""What systemd hears of the collector while it serves: that its event loop turns.

Reads nothing; writes through runyard.sd_notify. Without systemd nothing is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runyard.sd_notify import ALIVE, Notifier


@asynccontextmanager
async def watched(notifier: Notifier) -> AsyncIterator[None]:
    """For the length of the block the loop itself tells that it is alive: one that hangs is silent, and systemd ends it."""
    telling = asyncio.create_task(_tell(notifier)) if notifier.alive_every_s else None
    try:
        yield
    finally:
        if telling is not None:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)


async def _tell(notifier: Notifier) -> None:
    while True:
        notifier.tell(ALIVE)
        await asyncio.sleep(notifier.alive_every_s)
