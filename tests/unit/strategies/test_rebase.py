"""REBASE: the width is divided exactly, by softmax of the scores, over the branches that live."""

from __future__ import annotations

import asyncio
import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as some

from strategies.rebase import Rebase
from strategies.search import shares
from tests.unit.strategies.simulated import SimulatedModel, SimulatedVerifier, searched


@given(some.integers(1, 24), some.integers(0, 1000), some.floats(0.05, 2), some.sampled_from([0.0, 0.4]))
def test_what_is_left_of_the_width_is_divided_by_softmax(width: int, seed: int, balance: float, noise: float) -> None:
    """`noise` 0 makes many scores equal."""
    model = SimulatedModel(0.7, {f"s{i}": 1 + i % 4 for i in range(width)}, seed=seed)
    solution = asyncio.run(Rebase(balance=balance).solve(searched(width, model, SimulatedVerifier(noise))))
    counts = Counter(node.parent.path for node in solution.candidates if node.parent)
    left, depth = width, 1
    while nodes := [node for node in solution.candidates if len(node.lineage) == depth]:
        assert len(nodes) == left  # what a round gives out is drawn, to the last branch
        left -= sum(node.finish_reason == "stop" for node in nodes)
        live = [node for node in nodes if node.finish_reason == "step"]
        if live:
            weights = [math.exp((node.score or 0.0) / balance) for node in live]
            assert [counts[node.path] for node in live] == shares(left, weights)
        depth += 1
    assert left == 0


def test_equal_scores_share_exactly_and_a_zero_share_prunes() -> None:
    even = SimulatedVerifier(given={f"s{i}": 0.5 for i in range(6)})
    solution = asyncio.run(Rebase().solve(searched(6, SimulatedModel(length=2), even)))
    assert Counter(node.parent.path for node in solution.candidates if node.parent) == {f"s{i}": 1 for i in range(6)}
    uneven = SimulatedVerifier(given={f"s{i}": 1.0 if i == 4 else 0.0 for i in range(6)})
    solution = asyncio.run(Rebase().solve(searched(6, SimulatedModel(length=2), uneven)))
    assert Counter(node.parent.path for node in solution.candidates if node.parent) == {"s4": 6}


def test_scores_far_below_the_best_do_not_overflow() -> None:
    far = SimulatedVerifier(given={"s0": 1.0, "s1": 0.0})
    solution = asyncio.run(Rebase(balance=1e-3).solve(searched(2, SimulatedModel(length=2), far)))
    assert {node.parent.path for node in solution.candidates if node.parent} == {"s0"}
