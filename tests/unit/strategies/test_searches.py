"""What every step-wise search has to hold to, whatever the model writes and the verifier thinks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as some

from strategies.aggregation import Aggregation, aggregate
from strategies.registry import STRATEGIES, build
from strategies.search import merge
from strategies.task import Candidate, Solution
from tests.unit.strategies.simulated import SimulatedModel, SimulatedVerifier, searched

SEARCHES = [name for name, entry in STRATEGIES.items() if entry.searches]


def solve(
    name: str, width: int, model: SimulatedModel, verifier: SimulatedVerifier | None = None, **parameters: object
):
    return asyncio.run(build(name, parameters).solve(searched(width, model, verifier)))


def finished(solution: Solution) -> list[Candidate]:
    return [node for node in solution.candidates if node.finish_reason == "stop"]


def parents_of(solution: Solution) -> set[str]:
    return {node.parent.path for node in solution.candidates if node.parent}


CUT_HERE_AND_THERE = some.frozensets(some.sampled_from(["s0", "s1.0", "s2.1", "s0.0.0"]))
FIRST_STEPS = frozenset(f"s{i}" for i in range(13))
ALL_OF_A_DEPTH = some.sampled_from([FIRST_STEPS, frozenset(f"{first}.{i}" for first in FIRST_STEPS for i in range(13))])


@pytest.mark.parametrize("name", SEARCHES)
@given(
    width=some.integers(1, 13),
    seed=some.integers(0, 10**6),
    lengths=some.dictionaries(some.sampled_from(sorted(FIRST_STEPS)), some.integers(1, 6)),
    cut=CUT_HERE_AND_THERE | ALL_OF_A_DEPTH,
    skill=some.floats(0, 1),
    noise=some.floats(0, 0.2),
)
def test_a_search_is_a_tree_of_what_was_drawn(
    name: str, width: int, seed: int, lengths: dict[str, int], cut: frozenset[str], skill: float, noise: float
) -> None:
    model = SimulatedModel(skill, lengths, seed=seed, cut=cut)
    solution = solve(name, width, model, SimulatedVerifier(noise))
    paths = [node.path for node in solution.candidates]
    assert sorted(paths) == sorted(model.drawn)
    assert len(set(paths)) == len(paths)
    assert parents_of(solution) <= set(paths)
    assert not parents_of(solution) & {node.path for node in solution.candidates if node.finish_reason != "step"}
    kept = {node.path for node in solution.candidates if node.kept}
    assert all(node.parent is None or node.parent.path in kept for node in solution.candidates if node.kept)
    assert all(node.kept for node in solution.candidates if node.path == solution.chosen)
    assert all(
        node.finish_reason == "stop"
        for node in solution.candidates
        if node.kept and node.path not in parents_of(solution)
    )
    if solution.answer is None:
        assert solution.stopped == "unfinished"
    else:
        assert solution.stopped == "complete"
        assert solution.answer in {node.answer for node in finished(solution)}


@pytest.mark.parametrize("name", [name for name in SEARCHES if name != "particle_filter"])
@given(width=some.integers(1, 13), seed=some.integers(0, 10**6), noise=some.sampled_from([0.0, 0.2]))
def test_the_answer_is_the_weighted_vote_of_what_ended(name: str, width: int, seed: int, noise: float) -> None:
    """`noise` 0 leaves many sums equal."""
    lengths = {f"s{i}": 1 + i % 3 for i in range(width)}
    solution = solve(name, width, SimulatedModel(0.5, lengths, seed=seed), SimulatedVerifier(noise))
    sums: dict[str, Fraction] = {}
    for node in finished(solution):
        if node.kept and node.answer is not None:
            sums[node.answer] = sums.get(node.answer, Fraction(0)) + Fraction(node.score or 0.0)
    assert solution.answer in {answer for answer, total in sums.items() if total == max(sums.values())}


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("length", [1, 3])
def test_a_step_that_says_nothing_is_neither_scored_nor_continued(name: str, length: int) -> None:
    class Blank(SimulatedModel):
        async def step(self, path: str, parent: Candidate | None, *, temperature: float | None = None) -> Candidate:
            made = await super().step(path, parent, temperature=temperature)
            return replace(made, text=" \n") if path == "s1" else made

    verifier = SimulatedVerifier(given={"s1": 1.0})
    solution = solve(name, 8, Blank(1.0, length=length), verifier)
    assert "s1" not in verifier.scored
    assert "s1" not in parents_of(solution)
    assert not next(node for node in solution.candidates if node.path == "s1").kept


@pytest.mark.parametrize("name", SEARCHES)
def test_steps_that_say_the_same_are_one_or_count_as_they_come(name: str) -> None:
    """All siblings are equal. Where they are one, one is scored and one votes."""
    verifier = SimulatedVerifier()
    parameters = {"lookahead": 0} if name == "lookahead" else {}
    solution = solve(name, 4, SimulatedModel(1.0, wordings=1), verifier, **parameters)  # one tree of dvts
    apart = solution.candidates if name in ("rebase", "particle_filter") else merge(solution.candidates)
    assert sorted(verifier.scored) == sorted(node.path for node in apart)
    assert sum(node.kept for node in finished(solution)) == len(
        [node for node in apart if node.finish_reason == "stop"]
    )


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_is_the_same_whatever_finishes_first(name: str) -> None:
    first = solve(name, 8, SimulatedModel(seed=3), SimulatedVerifier(0.3))
    again = solve(name, 8, SimulatedModel(seed=3), SimulatedVerifier(0.3))
    assert [(node.path, node.text, node.kept) for node in first.candidates] == [
        (node.path, node.text, node.kept) for node in again.candidates
    ]
    assert (first.answer, first.chosen) == (again.answer, again.chosen)


@pytest.mark.parametrize("name", SEARCHES)
def test_siblings_are_drawn_side_by_side(name: str) -> None:
    model = SimulatedModel(seed=1)
    solve(name, 8, model)
    assert model.most_running >= 2


@pytest.mark.parametrize("name", SEARCHES)
def test_a_budget_that_ends_a_search_leaves_an_answer_or_says_so(name: str) -> None:
    for most in range(1, 40):
        solution = solve(name, 8, SimulatedModel(seed=most, most=most))
        assert len(solution.candidates) <= most
        assert solution.stopped in ("budget", "complete")
        if solution.stopped == "complete":
            assert solution.answer is not None


@pytest.mark.parametrize("name", SEARCHES)
def test_a_branch_that_the_budget_cut_early_is_told_though_others_end(name: str) -> None:
    class Clipping(SimulatedModel):
        async def step(self, path: str, parent: Candidate | None, *, temperature: float | None = None) -> Candidate:
            made = await super().step(path, parent, temperature=temperature)
            return replace(made, finish_reason="clipped") if path == "s1" else made

    solution = solve(name, 8, Clipping(1.0))
    assert solution.stopped == "budget"
    assert solution.answer == (None if name == "mcts" else "42")  # which begins no round once a call was cut


@pytest.mark.parametrize("name", SEARCHES)
def test_branches_that_never_end_are_given_up(name: str) -> None:
    solution = solve(name, 4, SimulatedModel(length=1000), max_steps=5)
    assert (solution.answer, solution.stopped, solution.chosen) == (None, "unfinished", None)
    deepest = max(len(node.lineage) for node in solution.candidates)
    assert deepest == (5 + 3 if name == "lookahead" else 5)  # lookahead rolls out three more
    assert not any(node.kept for node in solution.candidates)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_perfect_verifier_beats_sampling(name: str) -> None:
    """With steps that are right half the time, one sample in eight is right."""
    right = [solve(name, 16, SimulatedModel(0.5, seed=seed)).answer == "42" for seed in range(60)]
    assert sum(right) / len(right) > 0.3


@pytest.mark.parametrize("name", SEARCHES)
def test_what_an_earlier_attempt_drew_is_not_drawn_again(name: str) -> None:
    before = solve(name, 8, SimulatedModel(seed=5), SimulatedVerifier(0.3))
    model = SimulatedModel(seed=5)
    task = searched(8, model, SimulatedVerifier(0.3))
    task.candidates = list(before.candidates[: len(before.candidates) // 2])
    known = {node.path for node in task.candidates}
    solution = asyncio.run(build(name, {}).solve(task))
    assert solution.answer == before.answer
    assert sorted(node.path for node in solution.candidates) == sorted(node.path for node in before.candidates)
    assert not known & set(model.drawn)


@pytest.mark.parametrize("name", [name for name in SEARCHES if name != "lookahead"])
@given(width=some.integers(1, 8), seed=some.integers(0, 10**6), how=some.sampled_from(["last", "min", "prod", "mean"]))
def test_a_branch_is_worth_what_the_aggregation_makes_of_its_steps(
    name: str, width: int, seed: int, how: Aggregation
) -> None:
    """Every step is read once, behind the one before."""
    verifier = SimulatedVerifier(0.2, seed=seed)
    solution = solve(name, width, SimulatedModel(0.5, seed=seed), verifier, aggregation=how)
    scored = [node for node in solution.candidates if node.score is not None]
    assert {node.path for node in scored} == set(verifier.scored)
    assert len(verifier.scored) == len(set(verifier.scored))
    assert not verifier.whole
    for node in scored:
        assert node.score == pytest.approx(aggregate([verifier.of(step) for step in node.lineage], how))


@given(width=some.integers(4, 12), seed=some.integers(0, 10**6))
def test_a_rollout_is_aggregated_over_all_its_steps(width: int, seed: int) -> None:
    """Those that it passed were never judged, so that it is read from its first step on."""
    verifier, k = SimulatedVerifier(0.2, seed=seed), 2
    model = SimulatedModel(0.5, seed=seed)
    solution = solve("lookahead", width, model, verifier, aggregation="min", lookahead=k)
    nodes = {node.path: node for node in solution.candidates}
    for node in (one for one in solution.candidates if one.score is not None and "g" not in one.path):
        end = node
        for _ in range(k):
            end = nodes.get(f"{end.path}.g", end)
        assert node.score == pytest.approx(min(verifier.of(step) for step in end.lineage))
