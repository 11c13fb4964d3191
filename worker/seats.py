"""Seats: how many sequences searches may hold open at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Seats:
    """`count` seats, given in the order they were asked for, and more while all that their searches may hold fits into
    a cache of `tokens`.

    A search comes back to its prefixes after each round of scoring. With more of them open than the engine has
    sequences, a cache that has one place for each of them has lost every one: 64 beam searches at once on 64 sequences
    found half of their prompts cached, 16 at once more than nine tenths. A cache of pages may hold far more, and a batch
    with a place for every open branch stands mostly empty, for each search waits for its longest step.
    Not thread-safe: it belongs to the event loop.
    """

    def __init__(self, count: int, tokens: int = 0) -> None:
        self._count = self._free = count
        self._tokens = tokens
        self._waiting: deque[tuple[int, int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def taken(self, wanted: int, tokens: int) -> AsyncIterator[None]:
        """Hold `wanted` seats, whose sequences may grow to that many `tokens`; a search wider than the engine takes
        all seats."""
        wanted = min(wanted, self._count)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, tokens, turn))
        self._call()
        try:
            await turn
            yield
        finally:
            if not turn.cancelled():  # cancelled while it waited, it never held any
                self._free += wanted
                self._tokens += tokens
            self._call()

    def _call(self) -> None:
        while self._waiting and (self._waiting[0][0] <= self._free or self._waiting[0][1] <= self._tokens):
            wanted, tokens, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._free -= wanted
                self._tokens -= tokens
                turn.set_result(None)
