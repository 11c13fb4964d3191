"""Particle filtering: children in proportion to the odds, and answers that do not count multiplicity twice."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as some

from strategies.particle_filter import SUREST, ParticleFilter, odds, resample
from strategies.protocols import TokenUsage
from strategies.task import Candidate
from tests.unit.strategies.simulated import SimulatedModel, SimulatedVerifier, searched


def test_odds_end_before_certainty() -> None:
    assert odds(0.75) == 3.0
    assert odds(1.0) == pytest.approx((1 - SUREST) / SUREST)
    assert odds(0.0) == pytest.approx(SUREST)


WEIGHTS = some.lists(some.floats(1e-7, 1e7), min_size=1, max_size=12)


@given(WEIGHTS, some.integers(1, 40), some.floats(0, 1, exclude_max=True))
def test_every_particle_leaves_its_share_up_to_one(weights: list[float], count: int, start: float) -> None:
    """At least the whole part of it, and at most one more."""
    copies = resample(weights, count, start)
    assert sum(copies) == count
    whole = sum(map(Fraction, weights))
    for number, weight in zip(copies, map(Fraction, weights), strict=True):
        assert math.floor(count * weight / whole) <= number <= math.ceil(count * weight / whole)


def test_over_all_starts_the_expectation_is_proportional() -> None:
    weights, starts = [0.5, 3.0, 1.5, 0.0], 2000
    total = [0] * 4
    for start in range(starts):
        for index, number in enumerate(resample(weights, 8, (start + 0.5) / starts)):
            total[index] += number
    assert [one / starts for one in total] == pytest.approx([0.8, 4.8, 2.4, 0.0], abs=1e-3)


@given(some.integers(1, 40), some.floats(0, 1, exclude_max=True))
def test_with_equal_scores_nothing_is_lost(count: int, start: float) -> None:
    assert resample([0.3] * count, count, start) == [1] * count


def test_children_follow_the_odds() -> None:
    verifier = SimulatedVerifier(given={"s0": 0.9, "s1": 0.5, "s2": 0.1, "s3": 0.5})
    found: Counter[str] = Counter()
    for seed in range(400):
        solution = asyncio.run(ParticleFilter().solve(searched(4, SimulatedModel(length=2, seed=seed), verifier)))
        found.update(node.parent.path for node in solution.candidates if node.parent)
    whole = 9 + 1 + 1 / 9 + 1
    for path, weight in (("s0", 9), ("s1", 1), ("s2", 1 / 9), ("s3", 1)):
        assert found[path] / 400 == pytest.approx(4 * weight / whole, abs=0.12)


def test_every_round_and_every_query_draws_a_number_of_its_own() -> None:
    """Of two equally good particles that share three places one is lucky; were it the same number, always the same."""
    pair = [Candidate(path, path, "step", TokenUsage(1, 0, 1), score=0.5) for path in ("s0", "s1")]
    lucky = set()
    for seed in range(30):
        task = searched(3, SimulatedModel(seed=seed))
        lucky.add(tuple(ParticleFilter()._resampled(task, pair, depth)[1].path for depth in (1, 2)))
    assert lucky == {("s0", "s0"), ("s0", "s1"), ("s1", "s0"), ("s1", "s1")}


@pytest.mark.parametrize("seed", range(20))
def test_only_the_current_score_weighs(seed: int) -> None:
    """Three particles come of a step worth three times the other; all score the same then, so none is lost. Were their
    weights multiplied on, the other would most often be."""
    first = {"s0": 0.75, "s1": 0.5, "s2": 0.0, "s3": 0.0}
    verifier = SimulatedVerifier(given={**first, **{f"{path}.{i}": 0.5 for path in ("s0", "s1") for i in range(3)}})
    solution = asyncio.run(ParticleFilter().solve(searched(4, SimulatedModel(length=3, seed=seed), verifier)))
    parents = Counter(node.parent.path for node in solution.candidates if node.parent)
    assert parents == {"s0": 3, "s1": 1, "s0.0": 1, "s0.1": 1, "s0.2": 1, "s1.0": 1}


def test_ended_particles_take_part() -> None:
    """One that ended with a low score is crowded out by those that are still writing."""
    model = SimulatedModel(1.0, {"s0": 1}, length=3)
    low = SimulatedVerifier(given={"s0": 0.001})
    solution = asyncio.run(ParticleFilter().solve(searched(4, model, low)))
    assert not next(node for node in solution.candidates if node.path == "s0").kept
    assert len([node for node in solution.candidates if len(node.lineage) == 3]) == 4


def test_an_ended_particle_lives_on_and_multiplies() -> None:
    """It is sure and the others are not, so after two more rounds there is nothing else."""
    sure = SimulatedVerifier(given={"s0": 1.0, "s1": 0.5, "s2": 0.5, "s3": 0.5})
    solution = asyncio.run(ParticleFilter().solve(searched(4, SimulatedModel(1.0, {"s0": 1}, length=3), sure)))
    assert (solution.answer, solution.chosen) == ("42", "s0")
    assert [node.path for node in solution.candidates if node.kept] == ["s0"]


def test_a_particle_without_an_answer_abstains_however_good_it_is() -> None:
    class Silent(SimulatedModel):
        async def step(self, path: str, parent: Candidate | None, *, temperature: float | None = None) -> Candidate:
            made = await super().step(path, parent, temperature=temperature)
            made.text = "I give up" if path == "s0" else made.text
            return made

    best = SimulatedVerifier(given={"s0": 0.9, "s1": 0.5})
    solution = asyncio.run(ParticleFilter().solve(searched(2, Silent(1.0, length=1), best)))
    assert (solution.answer, solution.chosen, solution.stopped) == ("42", "s1", "complete")


def test_the_best_score_answers_and_a_vote_counts_particles() -> None:
    """Particles that end with 42 are more than any others, but their scores together are less than the highest."""
    model = SimulatedModel(0.5, length=1, seed=4)
    texts = {node: asyncio.run(model.step(node, None)).text for node in ("s0", "s1", "s2", "s3", "s4", "s5")}
    right = [path for path, text in texts.items() if text.endswith("= 42")]
    wrong = next(path for path, text in texts.items() if not text.endswith("= 42"))
    assert len(right) in (2, 3)
    verifier = SimulatedVerifier(given={wrong: 0.99, **dict.fromkeys(right, 0.3)})
    task = searched(6, SimulatedModel(0.5, length=1, seed=4), verifier)
    assert asyncio.run(ParticleFilter().solve(task)).chosen == wrong
    task = searched(6, SimulatedModel(0.5, length=1, seed=4), verifier)
    assert asyncio.run(ParticleFilter(answer="vote").solve(task)).answer == "42"
