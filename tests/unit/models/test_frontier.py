"""The frontier worked by hand, and what holds for any jobs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from models.aligned import Aligned, Run
from models.frontier import Frontier, envelope, frontier_of


def aligned(right: list[list[int]] | np.ndarray, cost: list[float] | np.ndarray, size: int | None = None) -> Aligned:
    """`right` (problems, jobs); `cost` of each job, the same for every problem, or (problems, jobs)."""
    table = np.array(right, dtype=float)
    spent = np.broadcast_to(np.array(cost, dtype=float), table.shape)
    runs = [
        Run(n + 1, f"job {n + 1}", "tiny", None, "majority_vote", str(n), "done", False) for n in range(table.shape[1])
    ]
    return Aligned("sums", size or len(table), "usd", runs, table, spent, None, [])


def shares(*accuracies: int) -> np.ndarray:
    """100 problems of which each job has its first so many right."""
    return (np.arange(100)[:, None] < np.array(accuracies)).astype(float)


def by_place(frontier: Frontier) -> dict[int, tuple[bool, bool, int | None]]:
    """Whether each job is on the frontier, and on the envelope; by which it is dominated."""
    return {
        one.place: (one.dominated is None, one.envelope, None if one.dominated is None else one.dominated.by)
        for one in frontier.standings
    }


def test_the_frontier_by_hand() -> None:
    # The third is below the line between its neighbours; the fourth costs what the third does and is right less often.
    found = frontier_of(aligned(shares(40, 60, 62, 50, 80, 80), [1, 2, 3, 3, 4, 5]))
    assert by_place(found) == {
        0: (True, True, None),
        1: (True, True, None),
        2: (True, False, None),
        3: (False, False, 2),
        4: (True, True, None),
        5: (False, False, 4),
    }
    assert found.places == [0, 1, 2, 4]
    assert [one.place for one in found.standings] == [0, 1, 2, 3, 4, 5], "from the cheapest"


def test_equal_jobs_do_not_dominate_each_other() -> None:
    assert frontier_of(aligned(shares(40, 40), [1, 1])).places == [0, 1]


def test_dominated_surely_or_perhaps() -> None:
    place = np.arange(200)
    good = place < 120
    # Right on 16 others and wrong on 20 of these; right on half of these; as good, for more.
    alike, half = (place >= 20) & (place < 136), place < 60
    table = np.stack([good, alike, half, good], axis=1).astype(float)
    found = {one.place: one.dominated for one in frontier_of(aligned(table, [1, 2, 2, 3])).standings}
    significant = {place: one.significant for place, one in found.items() if one is not None}
    assert significant == {1: False, 2: True, 3: False}
    far = found[2]
    assert far is not None
    assert far.gain.value == pytest.approx(0.3)
    assert far.gain.low is not None
    assert far.gain.high is not None
    assert far.gain.low < far.gain.value < far.gain.high
    assert far.saved == pytest.approx((1, 1, 1))


def test_a_cheaper_job_is_not_surely_cheaper() -> None:
    rng = np.random.default_rng(1)
    cost = np.stack([np.full(50, 1.0), rng.exponential(1.0, 50)], axis=1)
    cost[:, 1] += 1.02 - cost[:, 1].mean()
    found = frontier_of(aligned(shares(90, 20)[::2], cost))
    dominated = found.standings[-1].dominated
    assert dominated is not None
    assert dominated.gain.is_positive
    assert not dominated.significant


@given(
    some.lists(some.tuples(some.integers(0, 20), some.integers(1, 6)), min_size=1, max_size=8),
)
@settings(max_examples=60)
def test_no_dominated_job_is_on_it_and_every_other_is(jobs: list[tuple[int, int]]) -> None:
    right = (np.arange(20)[:, None] < np.array([hits for hits, _ in jobs])).astype(float)
    frontier = frontier_of(aligned(right, [float(cost) for _, cost in jobs]))
    for one in frontier.standings:
        hits, cost = jobs[one.place]
        beaten = any(
            other_hits >= hits and other_cost <= cost and (other_hits, other_cost) != (hits, cost)
            for other_hits, other_cost in jobs
        )
        assert (one.dominated is not None) == beaten
        if one.dominated is not None:
            assert one.dominated.by in frontier.places, "by one that is worth its cost itself"
    on_envelope = {one.place for one in frontier.standings if one.envelope}
    assert on_envelope <= set(frontier.places)


@given(some.lists(some.tuples(some.integers(0, 100), some.integers(1, 100)), min_size=1, max_size=12))
def test_no_mixture_of_two_is_above_the_envelope(jobs: list[tuple[int, int]]) -> None:
    accuracy, cost = (np.array(column, dtype=float) for column in zip(*jobs, strict=True))
    hull = envelope(accuracy, cost)
    assert (np.diff(cost[hull]) > 0).all()
    assert (np.diff(accuracy[hull]) > 0).all()
    assert accuracy[hull[-1]] == accuracy.max()
    rises = np.diff(accuracy[hull]) / np.diff(cost[hull])
    assert (np.diff(rises) < 0).all()
    for one in range(len(jobs)):
        assert accuracy[one] <= np.interp(cost[one], cost[hull], accuracy[hull]) + 1e-9


def test_what_one_more_right_answer_costs() -> None:
    found = frontier_of(aligned(shares(40, 60, 65), [0.01, 0.02, 0.03]))
    first, second = found.steps
    assert (first.cheaper, first.dearer, first.price.value) == (0, 1, pytest.approx(0.01 / 0.2))
    assert second.price.value == pytest.approx(0.01 / 0.05)
    assert first.price.low is not None
    assert first.price.high is not None
    # 20 problems differ, all one way: a binomial's interval is 12.2 to 27.8 of 100.
    assert 0.01 / first.price.high == pytest.approx(0.12, abs=0.011)
    assert 0.01 / first.price.low == pytest.approx(0.28, abs=0.011)


def test_without_a_sure_gain_the_price_has_no_upper_end() -> None:
    right = np.zeros((100, 2))
    right[:12, 0] = 1
    right[8:24, 1] = 1
    (step,) = frontier_of(aligned(right, [1, 2])).steps
    assert step.price.value == pytest.approx(25)
    assert step.price.high is None


def test_what_the_next_dollars_buy_by_hand() -> None:
    # Over 1000 problems: $10, $20 and $40 in all.
    jobs = aligned(shares(40, 60, 70), [0.01, 0.02, 0.04], 1000)
    first, second, third = frontier_of(jobs, 15.0).purchases
    # $25 are a quarter of the way from $20 to $40: 62.5 %.
    assert (first.cheaper, first.dearer, first.share) == (1, 2, pytest.approx(0.25))
    assert first.more.value == pytest.approx(225)
    assert first.left == 0
    assert (second.share, second.more.value) == (pytest.approx(0.75), pytest.approx(75))
    assert (third.more.value, third.left) == (pytest.approx(0, abs=1e-9), pytest.approx(15))
    assert first.more.low is not None
    assert first.more.high is not None
    assert first.more.low < 225 < first.more.high


def test_money_beyond_the_dearest_job_is_left_over() -> None:
    (first, second) = frontier_of(aligned(shares(40, 60), [0.01, 0.02], 1000), 25.0).purchases
    assert (first.more.value, first.left) == (pytest.approx(200), pytest.approx(15))
    assert second.left == pytest.approx(25)


def test_intervals_of_one_job_are_wilsons() -> None:
    (only,) = frontier_of(aligned(shares(50), [1])).standings
    assert only.accuracy == (0.5, pytest.approx(0.4038, abs=1e-4), pytest.approx(0.5962, abs=1e-4))
