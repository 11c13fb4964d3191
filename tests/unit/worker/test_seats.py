"""Seats are given in order, never more than there are, and come back whatever happens."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.seats import Seats


@given(st.lists(st.integers(1, 12), max_size=20), st.integers(1, 10), st.integers(0, 2**16))
async def test_no_more_are_held_than_there_are_and_everybody_gets_a_turn(
    wanted: list[int], count: int, seed: int
) -> None:
    seats, rng = Seats(count), random.Random(seed)
    held, most, begun = 0, 0, []

    async def search(number: int, places: int) -> None:
        nonlocal held, most
        async with seats.taken(places, 1):
            begun.append(number)
            held += min(places, count)
            most = max(most, held)
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            held -= min(places, count)

    await asyncio.gather(*(search(number, places) for number, places in enumerate(wanted)))
    assert begun == sorted(range(len(wanted)))
    assert most <= count


@pytest.mark.parametrize("moment", [0, 1, 2, 3])
async def test_who_is_cancelled_leaves_no_seat_taken(moment: int) -> None:
    seats = Seats(2)
    leave = asyncio.Event()

    async def search(places: int) -> None:
        async with seats.taken(places, 1):
            await leave.wait()

    first, second, third = (asyncio.create_task(search(places)) for places in (2, 1, 2))
    for _ in range(moment):
        await asyncio.sleep(0)
    second.cancel()
    if moment > 1:
        first.cancel()
    leave.set()
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert third.done()
    assert not third.cancelled()
    async with asyncio.timeout(1), seats.taken(2, 1):
        pass


@pytest.mark.parametrize(("tokens", "open_at_once"), [(0, 2), (299, 2), (300, 3), (520, 5), (10_000, 6)])
async def test_a_cache_of_pages_holds_more_searches_than_the_batch(tokens: int, open_at_once: int) -> None:
    seats = Seats(8, tokens)
    leave = asyncio.Event()
    opened = []

    async def search(number: int) -> None:
        async with seats.taken(4, 100):
            opened.append(number)
            await leave.wait()

    searches = [asyncio.create_task(search(number)) for number in range(6)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert opened == list(range(open_at_once))
    leave.set()
    await asyncio.gather(*searches)
    assert opened == list(range(6))
    async with asyncio.timeout(1), seats.taken(8, 10_001):
        pass
