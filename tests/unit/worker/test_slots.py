"""Which slot of a llama.cpp server a text is read in."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from worker.engines.slots import Slots
from worker.prefixes import shared

SHORT = st.lists(st.integers(0, 2), max_size=4).map(tuple)


async def test_a_text_is_read_where_most_of_its_beginning_is_known() -> None:
    slots, order = Slots(3), []
    for text in [(1, 2, 3), (1, 2, 4), (5,), (1, 2, 4, 7), (5, 6), (8,)]:
        async with slots.taken(text) as number:
            order.append(number)
    # Where nothing of it is known, in the slot that has been free for longest.
    assert order == [0, 0, 1, 0, 1, 2]


async def test_what_is_cut_short_leaves_its_slot_as_it_was() -> None:
    slots = Slots(2)
    async with slots.taken((1, 2)) as known:
        pass
    task = asyncio.ensure_future(_hold(slots, (1, 2, 3)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with slots.taken((1, 2)) as again:
        assert again == known


async def _hold(slots: Slots, text: tuple[int, ...]) -> None:
    async with slots.taken(text):
        await asyncio.sleep(60)


@given(st.integers(1, 3), st.lists(SHORT, max_size=12))
def test_no_slot_holds_two_texts_and_none_is_lost(count: int, texts: list[tuple[int, ...]]) -> None:
    async def read(slots: Slots, held: set[int], text: tuple[int, ...]) -> None:
        async with slots.taken(text) as number:
            assert number not in held
            held.add(number)
            for _ in text:
                await asyncio.sleep(0)
            held.remove(number)

    async def everything() -> None:
        slots, held = Slots(count), set[int]()
        await asyncio.wait_for(asyncio.gather(*(read(slots, held, text) for text in texts)), 10)
        numbers = await asyncio.gather(*(_number(slots, held) for _ in range(count)))
        assert sorted(numbers) == list(range(count))

    async def _number(slots: Slots, held: set[int]) -> int:
        async with slots.taken(()) as number:
            await asyncio.sleep(0.001)
            return number

    asyncio.run(everything())


def test_what_two_texts_begin_with() -> None:
    assert [shared(*pair) for pair in [((), (1,)), ((1, 2), (1, 2)), ((1, 2, 3), (1, 3, 3))]] == [0, 2, 1]
