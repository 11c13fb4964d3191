"""How often the sampling strategies are right, and what they draw, against the formulas: the model guesses 42 with a known
chance and else one of three wrong answers, the verifier errs by a known distribution."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from strategies.adaptive_consistency import lead_is_real
from strategies.registry import build
from strategies.task import Solution
from tests.unit.strategies.simulated import Guesser, SimulatedVerifier, searched

PROBLEMS = 1000
OTHERS = 3


async def solved(name: str, n: int, skill: float, noise: float = 0.0, *, verified: bool = True) -> list[Solution]:
    strategy, found = build(name), []
    for seed in range(PROBLEMS):
        task = searched(n, Guesser(skill, OTHERS, seed), SimulatedVerifier(noise, seed=seed))
        task.verifier = task.verifier if verified else None
        found.append(await strategy.solve(task))
    return found


def agrees(solutions: list[Solution], chance: float) -> None:
    """The share of right ones is `chance`, give or take four standard errors."""
    right = sum(solution.answer == "42" for solution in solutions) / len(solutions)
    assert abs(right - chance) <= 4 * math.sqrt(chance * (1 - chance) / len(solutions))


def ballots(n: int, skill: float) -> Iterator[tuple[float, int, tuple[int, ...]]]:
    """All (probability, votes for the right answer, votes for each wrong one): the multinomial distribution."""

    def wrong(left: int, answers: int) -> Iterator[tuple[int, ...]]:
        if answers == 1:
            yield (left,)
            return
        for votes in range(left + 1):
            yield from ((votes, *rest) for rest in wrong(left - votes, answers - 1))

    for right in range(n + 1):
        for others in wrong(n - right, OTHERS):
            ways = math.factorial(n) // math.prod(map(math.factorial, (right, *others)))
            yield ways * skill**right * ((1 - skill) / OTHERS) ** (n - right), right, others


def chance_of_right(n: int, skill: float, weigh: Callable[[bool, int], float], *, tie: bool = False) -> float:
    """That the right answer's votes weigh most. Of those that tie it is chosen always (`tie`), or where it came first:
    as often as it has votes among theirs."""
    total = 0.0
    for probability, right, others in ballots(n, skill):
        mine, theirs = weigh(True, right), [weigh(False, votes) for votes in others]
        if right and mine >= max(theirs):
            tied = sum(votes for votes, weight in zip(others, theirs, strict=True) if weight == mine)
            total += probability if tie else probability * right / (right + tied)
    return total


def test_the_ballots_are_all_there_are() -> None:
    assert math.fsum(probability for probability, _, _ in ballots(7, 0.3)) == pytest.approx(1)


@pytest.mark.parametrize(("n", "skill"), [(1, 0.5), (3, 0.4), (4, 0.4), (6, 0.35), (9, 0.3)])
@pytest.mark.parametrize("verified", [False, True])
async def test_majority_vote_is_right_as_often_as_the_multinomial_says(n: int, skill: float, verified: bool) -> None:
    """Where there is a verifier it breaks the ties, and this one is never wrong."""
    chance = chance_of_right(n, skill, lambda right, votes: votes, tie=verified)
    agrees(await solved("majority_vote", n, skill, verified=verified), chance)


@pytest.mark.parametrize(("n", "skill"), [(2, 0.3), (5, 0.2), (8, 0.1)])
async def test_a_weighted_vote_is_right_as_often_as_the_weights_say(n: int, skill: float) -> None:
    """A right solution scores .8 and a wrong one .2, so four wrong ones tie with it."""
    chance = chance_of_right(n, skill, lambda right, votes: (4 if right else 1) * votes)
    agrees(await solved("weighted_vote", n, skill), chance)


@pytest.mark.parametrize(
    ("n", "skill", "noise"), [(1, 0.3, 0.6), (2, 0.3, 0.6), (4, 0.3, 0.6), (8, 0.1, 0.9), (8, 0.3, 0.2)]
)
async def test_best_of_n_is_right_as_often_as_the_scores_say(n: int, skill: float, noise: float) -> None:
    """Scores are uniform about .8 and .2: n times the chance that one is right and no other scores higher."""

    def below(score: float, centre: float) -> float:
        return min(max((score - centre + noise) / (2 * noise), 0.0), 1.0)

    cells = 4000
    scores = [0.8 - noise + (cell + 0.5) * 2 * noise / cells for cell in range(cells)]
    others = [skill * below(score, 0.8) + (1 - skill) * below(score, 0.2) for score in scores]
    chance = n * skill * sum(each ** (n - 1) for each in others) / cells
    if noise < 0.3:  # no wrong one ever scores higher
        assert chance == pytest.approx(1 - (1 - skill) ** n, abs=1e-3)
    agrees(await solved("best_of_n", n, skill, noise), chance)


@pytest.mark.parametrize(("n", "skill"), [(6, 0.9), (12, 0.6), (12, 0.3)])
async def test_adaptive_consistency_draws_as_many_as_the_walk_over_the_votes_says(n: int, skill: float) -> None:
    chances = [skill, *[(1 - skill) / OTHERS] * OTHERS]

    @cache
    def more(votes: tuple[int, ...]) -> tuple[float, float]:
        """The mean of how many are still drawn, and of its square."""
        first, second, *_ = sorted(votes, reverse=True)
        if sum(votes) == n or lead_is_real(first, second) >= 0.95:
            return 0.0, 0.0
        mean = square = 0.0
        for answer, chance in enumerate(chances):
            then = more(tuple(count + (index == answer) for index, count in enumerate(votes)))
            mean += chance * (1 + then[0])
            square += chance * (1 + 2 * then[0] + then[1])
        return mean, square

    mean, square = more((0,) * (OTHERS + 1))
    drawn = Counter(len(solution.candidates) for solution in await solved("adaptive_consistency", n, skill))
    average = sum(length * times for length, times in drawn.items()) / PROBLEMS
    assert abs(average - mean) <= 4 * math.sqrt((square - mean**2) / PROBLEMS)
