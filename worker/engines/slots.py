"""The slots of a llama.cpp server that is read from: which are free, and what each of them still knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from worker.prefixes import shared


class Slots:
    """`count` slots, each for one text at a time, the one that knows most of its beginning.

    Left to itself the server takes the likest slot that does nothing at the moment, so that a text finds its own taken
    between two of its prefixes: of texts of eight steps nearly half of all that was read was read again.
    Not thread-safe: it belongs to the event loop.
    """

    def __init__(self, count: int) -> None:
        self._turns = asyncio.Semaphore(count)
        self._known: dict[int, tuple[int, ...]] = dict.fromkeys(range(count), ())

    @asynccontextmanager
    async def taken(self, tokens: Sequence[int]) -> AsyncIterator[int]:
        """Hold the number of a slot in which `tokens` and beginnings of them are read."""
        async with self._turns:
            slot = max(self._known, key=lambda number: shared(self._known[number], tokens))
            known = self._known.pop(slot)
            try:
                yield slot
                known = tuple(tokens)
            finally:
                self._known[slot] = known
