"""Replays against the real code: evidence and answers of random candidates, in random orders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from models.statistics import best_of_k, pass_at_k
from scheduler.outcomes import Recorded
from scheduler.replay import Replay, curve_of, draw_orders
from strategies.evidence import evidence_of
from strategies.protocols import TokenUsage
from strategies.registry import build
from strategies.task import Candidate
from tests.unit.scheduler.simulated import World
from tests.unit.strategies.simulated import Guesser, SimulatedVerifier, searched

SCORES = (0.0, 0.25, 0.5, 1.0)


@some.composite
def recordings(draw: some.DrawFn, *, most: int = 9) -> Recorded:
    """Few classes and few scores, so that nearly everything ties somewhere."""
    n = draw(some.integers(1, most))
    classes = np.array(draw(some.lists(some.integers(-1, 2), min_size=n, max_size=n)))
    scores = np.array(draw(some.lists(some.sampled_from(SCORES), min_size=n, max_size=n)))
    logprobs = draw(some.lists(some.none() | some.sampled_from([-2.0, -1.0, -0.5]), min_size=n, max_size=n))
    known = np.array([np.nan if one is None else one for one in logprobs])
    tokens = np.array(draw(some.lists(some.integers(1, 50), min_size=n, max_size=n)))
    return Recorded(
        key="k", text="?", level=None, answer_class=classes, right=classes == draw(some.integers(0, 2)),
        score=np.where(classes < 0, np.nan, scores), logprob=known, weakest=known - 0.5, tokens=tokens, prompt=17,
        prefill=5.0, drawing=tokens * 2.0, scoring=np.where(classes < 0, 0.0, 3.0), drawing_seconds=tokens * 0.1,
        scoring_seconds=np.ones(n),
    )  # fmt: skip


def candidates(one: Recorded, order: np.ndarray, *, scored: bool) -> list[Candidate]:
    """The stored samples as the strategies know them: step log-probabilities whose mean and lowest are as recorded."""
    found = []
    for place, index in enumerate(order):
        number, unknown = int(one.answer_class[index]), np.isnan(one.logprob[index])
        steps = None if unknown else (float(one.weakest[index]), float(2 * one.logprob[index] - one.weakest[index]))
        found.append(
            Candidate(
                path=str(place),
                text=f"= {number}" if number >= 0 else "lost",
                finish_reason="stop",
                usage=TokenUsage(one.prompt, 0, int(one.tokens[index])),
                step_logprobs=steps,
                answer=None if number < 0 else str(number),
                answer_class=number,
                score=float(one.score[index]) if scored and number >= 0 else None,
            )
        )
    return found


@given(recordings(), some.integers(0, 2**31), some.booleans())
def test_features_are_those_of_the_evidence(one: Recorded, seed: int, scored: bool) -> None:
    orders = draw_orders(one.samples, 3, np.random.default_rng(seed))
    replay = Replay(one, orders)
    for n in range(1, one.samples + 1):
        features, read = replay.features(n, scored=scored), replay.read(n)
        for row, order in enumerate(orders):
            real = evidence_of(candidates(one, order[:n], scored=scored))
            assert features[row] == pytest.approx(real.features())
            assert bool(scored and read[row]) == real.scored


@pytest.mark.parametrize("strategy", ["majority_vote", "weighted_vote", "best_of_n", "adaptive_consistency"])
@given(one=recordings(), seed=some.integers(0, 2**31))
async def test_answers_are_those_of_the_strategies(strategy: str, one: Recorded, seed: int) -> None:
    """The stored samples are handed to the strategy itself, in the same order."""
    (order,) = draw_orders(one.samples, 1, np.random.default_rng(seed))
    replay = Replay(one, order[None])
    judged = strategy in ("weighted_vote", "best_of_n")
    for n in range(1, one.samples + 1):
        given_ = candidates(one, order[:n], scored=False)
        scores = {str(place): float(one.score[index]) for place, index in enumerate(order[:n])}
        task = searched(n, Guesser(0.5), SimulatedVerifier(given=scores))
        task.candidates, task.verifier = given_, task.verifier if judged else None
        solution = await build(strategy).solve(task)
        taken = int(replay.settled(n)[0]) if strategy == "adaptive_consistency" else n
        assert len(solution.candidates) == taken
        outcome = {"weighted_vote": replay.weighted, "best_of_n": replay.best}.get(strategy, replay.majority)(taken)
        (truth,) = {int(number) for number in one.answer_class[one.right]} or {-2}
        assert bool(outcome[0]) == (solution.answer == str(truth))


def test_equal_sums_tie_in_whatever_order_they_were_added() -> None:
    """Three times .1 is not .3 in binary; the strategy adds exactly, and so an earlier answer wins."""
    one = Recorded(
        key="k", text="?", level=None, answer_class=np.array([0, 1, 1, 1]), right=np.array([True, False, False, False]),
        score=np.array([0.3, 0.1, 0.1, 0.1]), logprob=np.zeros(4), weakest=np.zeros(4), tokens=np.ones(4, dtype=int),
        prompt=1, prefill=0.0, drawing=np.ones(4), scoring=np.ones(4), drawing_seconds=np.ones(4),
        scoring_seconds=np.ones(4),
    )  # fmt: skip
    assert 0.1 + 0.1 + 0.1 > 0.3
    assert Replay(one, np.array([[0, 1, 2, 3]])).weighted(4)[0]


def test_the_first_sample_is_the_greedy_one_or_none() -> None:
    rng = np.random.default_rng(0)
    orders = draw_orders(9, 500, rng)
    assert (orders[:, 0] == 0).all()
    assert all(sorted(order) == list(range(9)) for order in orders.tolist())
    assert np.unique(orders[:, 1]).tolist() == list(range(1, 9))
    plain = draw_orders(9, 500, rng, greedy_first=False)
    assert all(sorted(order) == list(range(1, 9)) for order in plain.tolist())


def test_what_is_left_fails_as_often_as_it_is_wrong() -> None:
    one = World(samples=9).problem(0, 5)
    replay = Replay(one, np.arange(9)[None])
    assert replay.fails(4)[0] == pytest.approx((~one.right[4:]).mean())
    assert np.isnan(replay.fails(9)[0])


def test_curves_agree_with_the_closed_forms() -> None:
    """Best-of-N and a single sample have one; random subsets come near it."""
    recorded = World(samples=13).problems(30)
    found = curve_of(recorded, "best_of_n", 6, greedy_first=False, orders=2000)
    for row, one in enumerate(recorded):
        scores = np.where(np.isnan(one.score[1:]), -1.0, one.score[1:]).tolist()
        right = one.right[1:].astype(float).tolist()
        exact = [best_of_k(scores, right, n) for n in range(1, 7)]
        assert found["accuracy"][row] == pytest.approx(exact, abs=0.05)
        single = pass_at_k(12, int(one.right[1:].sum()), 1)
        assert found["accuracy"][row, 0] == pytest.approx(single, abs=0.05)


def test_a_curve_charges_one_prefill_its_samples_and_their_scoring() -> None:
    recorded = World(samples=9).problems(3)
    plain = curve_of(recorded, "majority_vote", 8, greedy_first=True, orders=50)
    judged = curve_of(recorded, "weighted_vote", 8, greedy_first=True, orders=50)
    for row, one in enumerate(recorded):
        assert plain["flops"][row, 0] == pytest.approx(one.prefill + one.drawing[0])
        everything = one.prefill + one.drawing[0] + 7 * one.drawing[1:].mean()
        assert plain["flops"][row, 7] == pytest.approx(everything, rel=0.02)
        scoring = one.scoring[0] + 7 * one.scoring[1:].mean()
        assert judged["flops"][row, 7] - plain["flops"][row, 7] == pytest.approx(scoring, rel=0.02)
        assert judged["seconds"][row, 0] == pytest.approx(one.drawing_seconds[0] + one.scoring_seconds[0])
    assert (plain["samples"] == np.arange(1, 9)).all()


def test_adaptive_consistency_costs_what_it_draws() -> None:
    recorded = World(samples=17).problems(20)
    found = curve_of(recorded, "adaptive_consistency", 16, greedy_first=False, orders=50)
    plain = curve_of(recorded, "majority_vote", 16, greedy_first=False, orders=50)
    assert (found["samples"] <= plain["samples"]).all()
    assert (found["flops"] <= plain["flops"] + 1e-6).all()
    sure = [row for row, one in enumerate(recorded) if one.right.all()]
    assert sure, "the world has problems that are always right"
    assert found["samples"][sure, 15].tolist() == [4.0] * len(sure)  # 4-0 is settled, 3-0 is not
