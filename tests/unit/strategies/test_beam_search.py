"""Beam search, its lookahead, and separate trees: which branches are kept, and how many children they get."""

from __future__ import annotations

import asyncio
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as some

from strategies.registry import build
from strategies.search import by_score, merge, shares
from strategies.task import Candidate, Solution
from tests.unit.strategies.simulated import SimulatedModel, SimulatedVerifier, searched


def solve(
    name: str, width: int, model: SimulatedModel, verifier: SimulatedVerifier | None = None, **parameters: object
) -> Solution:
    return asyncio.run(build(name, parameters).solve(searched(width, model, verifier)))


def generations(solution: Solution) -> list[list[Candidate]]:
    """The nodes by depth."""
    deepest = max(len(node.lineage) for node in solution.candidates)
    return [[node for node in solution.candidates if len(node.lineage) == depth + 1] for depth in range(deepest)]


def children_of(solution: Solution) -> Counter[str]:
    return Counter(node.parent.path for node in solution.candidates if node.parent)


@given(some.integers(0, 200), some.lists(some.floats(0, 10), min_size=1, max_size=20).filter(lambda w: sum(w) > 1e-9))
def test_shares_are_exact_and_proportional(total: int, weights: list[float]) -> None:
    found = shares(total, weights)
    assert sum(found) == total
    for share, weight in zip(found, weights, strict=True):
        assert abs(share - total * weight / math.fsum(weights)) < 1 + 1e-9


@given(some.integers(0, 60), some.lists(some.integers(0, 6), min_size=1, max_size=12).filter(any))
def test_shares_are_those_of_hamilton_ties_included(total: int, weights: list[int]) -> None:
    """With whole numbers the remainders are exact, and many of them are equal."""
    whole = sum(weights)
    parts = [divmod(total * weight, whole) for weight in weights]
    left = total - sum(part for part, _ in parts)
    lucky = sorted(range(len(weights)), key=lambda i: (-parts[i][1], i))[:left]
    assert shares(total, weights) == [part + (i in lucky) for i, (part, _) in enumerate(parts)]


def test_ties_of_remainders_go_to_the_first() -> None:
    assert shares(5, [1, 1, 1]) == [2, 2, 1]
    assert shares(1, [0.2, 0.4, 0.4]) == [0, 1, 0]
    with pytest.raises(ValueError, match="nothing to divide by"):
        shares(3, [0.0, 0.0])


@given(some.integers(1, 20), some.integers(1, 6), some.integers(0, 1000), some.sampled_from([1, 2, 10**6]))
def test_the_best_branches_are_kept_and_share_the_width(width: int, beam_width: int, seed: int, wordings: int) -> None:
    """Where there are few wordings many siblings are equal: they are one branch, and no other is drawn for them."""
    model = SimulatedModel(0.7, {f"s{i}": 2 + i % 4 for i in range(width)}, wordings=wordings, seed=seed)
    solution = solve("beam_search", width, model, SimulatedVerifier(0.4), beam_width=beam_width)
    left, counts = width, children_of(solution)
    assert len(generations(solution)[0]) == width
    for nodes in generations(solution):
        left -= sum(node.finish_reason == "stop" for node in nodes)
        live = by_score(node for node in merge(nodes) if node.finish_reason == "step")
        assert not any(counts[node.path] for node in nodes if node not in live)
        kept = math.ceil(left / beam_width)
        assert all(counts[node.path] for node in live[:kept])
        assert not any(counts[node.path] for node in live[kept:])
        if live and left > 0:
            assert sum(counts[node.path] for node in live) == left
            given_out = [counts[node.path] for node in live[:kept]]
            assert given_out == sorted(given_out, reverse=True)
            assert max(given_out) - min(given_out) <= 1
    kept_ends = [node for node in solution.candidates if node.kept and node.finish_reason == "stop"]
    assert kept_ends == [node for node in merge(solution.candidates) if node.finish_reason == "stop"]
    assert solution.stopped == "complete"


def test_ended_beams_leave_and_only_they_vote() -> None:
    """One branch ends at once: it keeps its place in the vote, and the others go on with one less."""
    model = SimulatedModel(1.0, {"s0": 1}, length=3)
    solution = solve("beam_search", 4, model, beam_width=2)
    assert [len(nodes) for nodes in generations(solution)] == [4, 3, 3]
    assert sum(node.finish_reason == "stop" for node in solution.candidates) == 4


def test_equal_siblings_are_one_and_nothing_takes_their_place() -> None:
    parent = Candidate("s0", "a", "step", None)  # type: ignore[arg-type]
    other = Candidate("s1", "a", "step", None)  # type: ignore[arg-type]
    nodes = [
        Candidate(path, text, finish, None, parent=above)  # type: ignore[arg-type]
        for path, text, finish, above in (
            ("s0.0", "x", "step", parent),
            ("s0.1", "x", "step", parent),
            ("s0.2", "y", "step", parent),
            ("s0.3", "x", "stop", parent),
            ("s1.0", "x", "step", other),
        )
    ]
    # One goes on and one has ended: they do not say the same.
    assert [node.path for node in merge(nodes)] == ["s0.0", "s0.2", "s0.3", "s1.0"]


@pytest.mark.parametrize("seed", range(5))
def test_lookahead_of_none_is_beam_search(seed: int) -> None:
    found = [
        solve(name, 8, SimulatedModel(seed=seed), SimulatedVerifier(0.3), **parameters)
        for name, parameters in (("lookahead", {"lookahead": 0}), ("beam_search", {}))
    ]
    assert found[0] == found[1]


@given(some.integers(1, 24), some.integers(0, 5))
def test_lookaheads_rollouts_are_part_of_the_width(width: int, steps: int) -> None:
    """At budget B there are B / (k + 1) branches; each rolls out greedily, and nothing else is greedy."""
    model = SimulatedModel(length=4)
    solution = solve("lookahead", width, model, lookahead=steps)
    assert len(generations(solution)[0]) == max(1, width // (steps + 1))
    rollouts = {path for path in model.drawn if path.endswith(".g")}
    assert model.greedy == rollouts
    assert max((path.count(".g") for path in rollouts), default=0) == min(steps, 3)


def test_lookahead_scores_where_a_step_leads_and_charges_the_way_there() -> None:
    """The rollouts' ends are scored in place of the steps, and their steps are candidates that are thrown away."""
    verifier = SimulatedVerifier(given={"s0.g.g": 0.1, "s1.g.g": 0.9})
    solution = solve("lookahead", 6, SimulatedModel(length=4), verifier, lookahead=2, beam_width=2)
    assert {path for path in verifier.scored if path.count(".") == 2} >= {"s0.g.g", "s1.g.g"}
    assert "s0" not in verifier.scored
    rollouts = [node for node in solution.candidates if ".g" in node.path]
    assert rollouts
    assert not any(node.kept for node in rollouts)
    assert {path for path in children_of(solution) if path.count(".") == 0} >= {"s0", "s1"}
    assert {node.path for node in generations(solution)[1] if ".g" not in node.path} == {"s1.0", "s1.1"}


def test_a_rollout_stops_where_the_solution_does() -> None:
    solution = solve("lookahead", 8, SimulatedModel(length=2), lookahead=5)
    assert max(len(node.lineage) for node in solution.candidates) == 2


@given(some.integers(1, 20), some.integers(1, 5), some.integers(0, 1000))
def test_trees_never_mix(width: int, beam_width: int, seed: int) -> None:
    solution = solve("dvts", width, SimulatedModel(0.7, seed=seed), SimulatedVerifier(0.4), beam_width=beam_width)
    trees = max(1, width // beam_width)
    counts = children_of(solution)
    roots = {path for path in counts if "." not in path}
    assert len(roots) == trees
    assert len(generations(solution)[0]) == width
    sizes = sorted(len(range(tree, width, trees)) for tree in range(trees))
    assert sorted(counts[root] for root in roots) == sizes
    assert all(nodes_of_tree_go_on_from_one(solution, root) for root in roots)


def nodes_of_tree_go_on_from_one(solution: Solution, root: str) -> bool:
    parents = {node.parent.path for node in solution.candidates if node.parent and node.path.startswith(f"{root}.")}
    return len({path.count(".") for path in parents}) == len(parents)


def test_a_trees_finals_are_among_its_last_children() -> None:
    """A child that ended earlier, but was not the best, does not vote."""
    model = SimulatedModel(1.0, {"s0": 1}, length=3)
    verifier = SimulatedVerifier(given={"s0": 0.1, "s1": 0.9})
    solution = solve("dvts", 2, model, verifier, beam_width=2)
    ended = {node.path for node in solution.candidates if node.finish_reason == "stop"}
    assert ended == {"s0", "s1.0.0", "s1.0.1"} or ended == {"s0", "s1.1.0", "s1.1.1"}
    assert not next(node for node in solution.candidates if node.path == "s0").kept


def test_a_tree_whose_last_children_are_cut_has_ended_before() -> None:
    """One child ended, the best went on, and the budget cut what was to come of it: the one that ended answers."""
    verifier = SimulatedVerifier(given={"s0": 0.1, "s1": 0.9})
    for model in (
        SimulatedModel(1.0, {"s0": 1}, cut=frozenset({"s1.0", "s1.1"})),
        SimulatedModel(1.0, {"s0": 1}, most=2),
    ):
        solution = solve("dvts", 2, model, verifier, beam_width=2)
        assert (solution.answer, solution.chosen) == ("42", "s0")


def test_separate_trees_find_more_answers_than_beams() -> None:
    """Averaged over problems, at equal N."""
    found = {}
    for name in ("dvts", "beam_search"):
        solutions = [solve(name, 16, SimulatedModel(0.5, seed=seed), SimulatedVerifier(0.3)) for seed in range(40)]
        found[name] = sum(
            len({node.answer for node in solution.candidates if node.kept and node.answer}) for solution in solutions
        )
    assert found["dvts"] > found["beam_search"]
