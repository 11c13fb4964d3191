"""Budget forcing: the thinking lies in its range, whatever the model wants, and what was put into it is where it belongs."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as some

from strategies.budget_forcing import CUT, EFFORTS, ENDED, WAIT, BudgetForcing
from strategies.protocols import ProblemView
from strategies.registry import build, find
from strategies.task import Budget, Candidate, Solution, Task
from tests.unit.strategies.scripted import Fractions
from tests.unit.strategies.simulated import SimulatedThinker


def task_of(model: SimulatedThinker, width: int = 1, given: list[Candidate] | None = None) -> Task:
    return Task(
        problem=ProblemView("problem", "?"),
        generator=model,  # type: ignore[arg-type]
        verifier=None,
        answers=Fractions(),
        budget=Budget(width, "samples"),
        seed=model.seed,
        candidates=given or [],
    )


def solve(model: SimulatedThinker, width: int = 1, **parameters: int) -> Solution:
    return asyncio.run(BudgetForcing(**parameters).solve(task_of(model, width)))


def samples(solution: Solution) -> dict[str, list[Candidate]]:
    """The parts of each sample, in order."""
    found = defaultdict(list)
    for part in solution.candidates:
        found[part.path.partition(".")[0]].append(part)
    return found


RANGES = some.tuples(some.integers(0, 60), some.integers(1, 60)).map(sorted).filter(lambda pair: pair[1] >= 1)


@given(
    limits=RANGES,
    waits=some.integers(0, 8),
    width=some.integers(1, 5),
    longest=some.integers(1, 30),
    seed=some.integers(0, 10**6),
)
def test_thinking_lies_in_its_range(limits: list[int], waits: int, width: int, longest: int, seed: int) -> None:
    minimum, maximum = limits
    model = SimulatedThinker(longest, seed=seed)
    solution = solve(model, width, minimum=minimum, maximum=maximum, waits=waits)
    assert (solution.answer, solution.stopped, len(samples(solution))) == ("42", "complete", width)
    for *thinking, answer in samples(solution).values():
        thought = sum(part.usage.generated_tokens for part in thinking)
        waited = len(thinking) - 1
        assert thought <= maximum
        assert thought >= minimum or waited == waits
        assert waited <= waits
        assert answer.lineage == [*thinking, answer]
        forced = [model.forced[part.path] for part in answer.lineage]
        assert forced == ["", *[WAIT] * waited, CUT if thought == maximum else ENDED]
        # No wait was one too many: before it the minimum had not been reached.
        assert all(
            sum(part.usage.generated_tokens for part in thinking[:count]) < minimum for count in range(1, waited + 1)
        )


def test_an_early_end_is_taken_back_as_often_as_allowed() -> None:
    model = SimulatedThinker(longest=1)
    solution = solve(model, minimum=10, maximum=20, waits=3)
    assert list(model.forced) == ["t0", "t0.1", "t0.2", "t0.3", "t0.4"]
    assert solution.candidates[-1].solution == f" hmm{WAIT} hmm{WAIT} hmm{WAIT} hmm{ENDED} = 42"


def test_thinking_that_goes_on_for_too_long_is_cut_and_answered() -> None:
    class Endless(SimulatedThinker):
        async def segment(self, path, parent, tokens, **options):  # type: ignore[no-untyped-def]
            self.longest = 10**6
            return await super().segment(path, parent, tokens, **options)

    solution = solve(Endless(seed=1), minimum=0, maximum=7, waits=1)
    thinking, answer = solution.candidates
    assert thinking.usage.generated_tokens == 7
    assert answer.text == f"{CUT} = 42"


def test_what_was_cut_has_no_answer() -> None:
    for cut in ("t0", "t0.1"):
        solution = solve(SimulatedThinker(cut=frozenset({cut})), minimum=0, maximum=50, waits=0)
        assert (solution.answer, solution.chosen) == (None, None)
        assert solution.candidates[-1].path == cut


def test_a_budget_that_ends_it_leaves_the_answers_there_are() -> None:
    for most in range(7):
        solution = solve(SimulatedThinker(most=most), 3, minimum=0, maximum=50, waits=0)
        assert solution.stopped == ("budget" if most < 6 else "complete")
        assert len(solution.candidates) == most
        assert (solution.answer == "42") == any(part.finish_reason == "stop" for part in solution.candidates)


def test_what_an_earlier_attempt_drew_is_not_drawn_again() -> None:
    parameters = {"minimum": 15, "maximum": 30, "waits": 4}
    whole = solve(SimulatedThinker(8, seed=5), 3, **parameters)
    model = SimulatedThinker(8, seed=5)
    half = whole.candidates[: len(whole.candidates) // 2]
    again = asyncio.run(BudgetForcing(**parameters).solve(task_of(model, 3, list(half))))
    assert [part.path for part in again.candidates] == [part.path for part in whole.candidates]
    assert not {part.path for part in half} & set(model.forced)


def test_efforts_are_ranges_that_grow() -> None:
    low, medium, high = (BudgetForcing(**EFFORTS[name]) for name in ("low", "medium", "high"))
    assert medium == BudgetForcing()
    assert low.minimum <= medium.minimum <= high.minimum
    assert low.maximum < medium.maximum < high.maximum


def test_a_maximum_below_the_minimum_is_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"parameter 'maximum': .* must not be less than minimum, which is 9"):
        build("budget_forcing", {"minimum": 9, "maximum": 8})


def test_it_uses_its_own_parts() -> None:
    entry, budget = find("budget_forcing"), Budget(2, "samples")
    assert [path for path in ("0", "t0", "t1.2", "f0", "s0") if entry.uses(path, budget)] == ["t0", "t1.2"]
