"""GPU-seconds: the parts are the whole."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as some

from worker.busy import BusyClock, Share


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time: Fraction | float = Fraction(0)

    def __call__(self) -> float:
        return self.time  # type: ignore[return-value]


EVENTS = some.lists(
    some.tuples(
        some.fractions(0, 100, max_denominator=1000),
        some.sampled_from(["start", "stop", "look"]),
        some.integers(1, 10**15),
        some.integers(0, 100),
    ),
    max_size=60,
)


@given(EVENTS)
def test_shares_add_up_to_the_busy_time_exactly(events: list[tuple[Fraction, str, int, int]]) -> None:
    hand = Hand()
    clock = BusyClock(hand)
    open_: list[Share] = []
    shares: Fraction | float = 0
    busy: Fraction | float = 0
    for wait, what, weight, which in events:
        hand.time += wait
        busy += wait if open_ else 0
        if what == "start":
            open_.append(clock.start(weight))
        elif what == "stop" and open_:
            shares += clock.stop(open_.pop(which % len(open_)))
        elif open_:
            clock.seconds(open_[which % len(open_)])
        running = sum(clock.seconds(share) for share in open_)
        assert clock.totals() == (busy, hand.time - busy)
        assert shares + running == busy


@given(some.lists(some.tuples(some.floats(0, 1e4), some.floats(1e8, 1e13), some.booleans()), max_size=80))
def test_in_floats_too_nothing_is_lost(events: list[tuple[float, float, bool]]) -> None:
    hand = Hand()
    hand.time = 1e6  # a machine that has been up for days; the weights are those of small and large models
    clock = BusyClock(hand)
    open_: list[Share] = []
    shares = []
    for wait, weight, start in events:
        hand.time += wait
        if start or not open_:
            open_.append(clock.start(weight))
        else:
            shares.append(clock.stop(open_.pop(0)))
    shares += [clock.stop(share) for share in open_]
    busy, idle = clock.totals()
    assert sum(shares) == pytest.approx(busy, rel=1e-9, abs=1e-6)
    assert busy + idle == pytest.approx(hand.time - 1e6)
    assert min(shares, default=0) >= 0


def test_an_interval_is_split_by_the_flops_in_it() -> None:
    hand = Hand()
    clock = BusyClock(hand)
    hand.time += 5  # idle
    small = clock.start(1e9)
    hand.time += 4
    large = clock.start(3e9)
    hand.time += 4
    assert clock.stop(small) == 4 + 1
    hand.time += 2
    assert clock.stop(large) == 3 + 2
    hand.time += 1
    assert clock.totals() == (10, 6)


def test_a_giant_leaves_the_small_one_its_time() -> None:
    hand = Hand()
    clock = BusyClock(hand)
    small, giant = clock.start(1), clock.start(1e20)
    clock.stop(giant)
    hand.time += 3
    assert clock.stop(small) == 3


def test_even_a_weightless_request_keeps_the_engine_busy() -> None:
    hand = Hand()
    clock = BusyClock(hand)
    share = clock.start(0.0)
    hand.time += 2
    assert clock.seconds(share) == clock.stop(share) == 2
    assert clock.totals() == (2, 0)
