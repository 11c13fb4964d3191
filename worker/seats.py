"""Seats: how many sequences searches may hold open at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Seats:
    """`count` seats, given in the order they were asked for.

    A search comes back to its prefixes after each round of scoring. With more of them open than the engine has
    sequences, every one finds its place in the cache taken and is read anew: 64 beam searches at once on 64 sequences
    found half of their prompts cached, 16 at once more than nine tenths.
    Not thread-safe: it belongs to the event loop.
    """

    def __init__(self, count: int) -> None:
        self._count = self._free = count
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def taken(self, wanted: int) -> AsyncIterator[None]:
        """Hold `wanted` seats; a search wider than the engine takes them all."""
        wanted = min(wanted, self._count)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, turn))
        self._call()
        try:
            await turn
            yield
        finally:
            if not turn.cancelled():  # cancelled while it waited, it never held any
                self._free += wanted
            self._call()

    def _call(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            wanted, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._free -= wanted
                turn.set_result(None)
