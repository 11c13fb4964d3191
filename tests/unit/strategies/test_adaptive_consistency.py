"""Adaptive-Consistency: when the vote is settled, and that nothing is drawn beyond that."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as some

from strategies.adaptive_consistency import lead_is_real
from strategies.registry import build
from tests.unit.strategies.scripted import Line, candidate, scene


@pytest.mark.parametrize(
    ("votes", "probability"), [((4, 0), 0.96875), ((3, 0), 0.9375), ((6, 1), 0.96484375), ((5, 5), 0.5), ((0, 0), 0.5)]
)
def test_how_sure_a_lead_is(votes: tuple[int, int], probability: float) -> None:
    assert lead_is_real(*votes) == probability


@given(some.integers(0, 12), some.integers(0, 12))
def test_a_lead_is_as_sure_as_the_integral_says(first: int, second: int) -> None:
    width = 1 / 4000
    density = [((i + 0.5) * width) ** first * (1 - (i + 0.5) * width) ** second for i in range(4000)]
    assert lead_is_real(first, second) == pytest.approx(sum(density[2000:]) / sum(density), abs=1e-4)


def lines(answers: str) -> list[Line]:
    """One sample for every character; a dot is a sample without an answer."""
    return [Line("nothing" if answer == "." else f"= {answer}") for answer in answers]


@pytest.mark.parametrize(
    ("answers", "drawn", "stopped"),
    [
        ("1111222222", 4, "settled"),
        ("1112", 4, "complete"),
        ("2111111199", 7, "settled"),
        (".1.11.1222", 7, "settled"),
        ("1212121212", 10, "complete"),
    ],
)
async def test_it_stops_as_soon_as_the_vote_is_settled(answers: str, drawn: int, stopped: str) -> None:
    act = scene(lines(answers))
    solution = await build("adaptive_consistency").solve(act.task)
    assert (solution.answer, solution.stopped) == ("1", stopped)
    assert [made.path for made in solution.candidates] == [str(index) for index in range(drawn)]
    assert set(act.generator.drawn) == {str(index) for index in range(drawn)}
    assert act.verifier.scored == []


@given(some.text(alphabet="123.", min_size=1, max_size=24), some.sampled_from([0.8, 0.95, 0.99]))
async def test_it_draws_what_a_check_after_every_sample_would_draw(answers: str, confidence: float) -> None:
    needed = len(answers)
    for count in range(1, len(answers) + 1):
        votes = sorted(Counter(answers[:count].replace(".", "")).values(), reverse=True)
        first, second = [*votes, 0, 0][:2]
        if lead_is_real(first, second) >= confidence:
            needed = count
            break
    act = scene(lines(answers))
    solution = await build("adaptive_consistency", {"confidence": confidence}).solve(act.task)
    assert len(act.generator.drawn) == len(solution.candidates) == needed
    vote = await build("majority_vote").solve(scene(lines(answers[:needed]), verified=False).task)
    assert solution.answer == vote.answer


async def test_what_was_made_before_is_counted_first() -> None:
    given = [candidate(str(index), Line("= 1")) for index in range(4)]
    act = scene(lines("2222222222"), given=given)
    solution = await build("adaptive_consistency").solve(act.task)
    assert (solution.answer, solution.stopped, act.generator.drawn) == ("1", "settled", {})


async def test_it_answers_with_what_the_budget_allowed() -> None:
    act = scene({"0": Line("= 1"), "1": Line("= 2"), "2": Line("= 2")}, budget=None)
    act.task.budget = type(act.task.budget)(8, "samples")
    solution = await build("adaptive_consistency").solve(act.task)
    assert (solution.answer, solution.stopped) == ("2", "budget")


async def test_it_reaches_the_votes_accuracy_with_fewer_samples() -> None:
    """Against simulated problems, most of them easy or hard: voting over all 16, and what the early end loses."""
    rng = random.Random(0)
    spent, early, full = [], [], []
    for _ in range(400):
        chance = rng.betavariate(0.5, 0.5)
        answers = "".join("1" if rng.random() < chance else rng.choice("2345") for _ in range(16))
        solution = await build("adaptive_consistency").solve(scene(lines(answers)).task)
        vote = await build("majority_vote").solve(scene(lines(answers), verified=False).task)
        spent.append(len(solution.candidates))
        early.append(solution.answer == "1")
        full.append(vote.answer == "1")
    assert sum(spent) / len(spent) < 11
    assert sum(early) / len(early) > sum(full) / len(full) - 0.02


@pytest.mark.parametrize("confidence", [0.5, 1.0])
def test_a_confidence_that_would_always_or_never_stop_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        build("adaptive_consistency", {"confidence": confidence})
