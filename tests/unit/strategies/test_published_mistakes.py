"""Mistakes that public implementations of these strategies ship: each test fails where its mistake is made.

That completions are filed under another problem's id is a worker's mistake: `tests/unit/worker/test_filing.py`.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from strategies.protocols import FinishReason
from strategies.registry import STRATEGIES, build
from strategies.task import Candidate, Solution
from tests.unit.strategies.scripted import Line, scene
from tests.unit.strategies.simulated import SimulatedModel, SimulatedVerifier, searched

SEARCHES = [name for name, entry in STRATEGIES.items() if entry.searches]
SAMPLERS = ["majority_vote", "adaptive_consistency", "best_of_n", "weighted_vote", "sequential_revision"]
"""Those that draw whole solutions."""


def without_rollouts(name: str) -> dict[str, int]:
    """Parameters under which the scored step is the branch's own."""
    return {"lookahead": 0} if name == "lookahead" else {}


def search(
    name: str, width: int, model: SimulatedModel, verifier: SimulatedVerifier | None = None, **parameters: object
) -> Solution:
    return asyncio.run(build(name, parameters).solve(searched(width, model, verifier)))


def children_of(solution: Solution) -> Counter[str]:
    return Counter(node.parent.path for node in solution.candidates if node.parent)


# --- votes split over equal answers written differently ----------------------------------------------------------------


def at_paths_of(name: str, lines: list[Line]) -> dict[str, Line]:
    """The lines at the paths at which the strategy looks for them."""
    revises = name == "sequential_revision"
    return {f"r0.{index}" if revises and index else str(index): line for index, line in enumerate(lines)}


HALVES = [Line("= 7", (0.5,)), Line("= 1/2", (0.3,)), Line("= 7", (0.1,)), Line("= 0.5", (0.3,)), Line("= 2/4", (0.3,))]


@pytest.mark.parametrize("name", ["majority_vote", "adaptive_consistency", "weighted_vote", "sequential_revision"])
async def test_equal_answers_are_one_vote_however_they_are_written(name: str) -> None:
    """7 has more votes and more weight than any one spelling of a half."""
    act = scene(at_paths_of(name, HALVES), verified=name != "adaptive_consistency")
    solution = await build(name, {"length": 5} if name == "sequential_revision" else {}).solve(act.task)
    assert solution.answer == "1/2"
    assert [made.answer_class for made in solution.candidates] == [0, 1, 0, 1, 1]


# --- a completion that was cut, treated as finished -------------------------------------------------------------------


@pytest.mark.parametrize("finish", ["length", "clipped", "cancelled"])
@pytest.mark.parametrize("name", SAMPLERS)
async def test_what_was_cut_neither_wins_nor_votes(name: str, finish: FinishReason) -> None:
    """It already holds something that reads like an answer, has most votes and would score highest."""
    lines = [Line("= 1", (1.0,), finish), Line("= 1", (1.0,), finish), Line("= 2", (0.1,))]
    act = scene(at_paths_of(name, lines))
    solution = await build(name, {"length": 3} if name == "sequential_revision" else {}).solve(act.task)
    if name == "sequential_revision" and finish == "clipped":
        assert (solution.answer, solution.stopped) == (None, "budget")
    else:
        assert solution.answer == "2"
    assert "0" not in act.verifier.scored


@pytest.mark.parametrize("name", SEARCHES)
def test_a_branch_that_was_cut_neither_goes_on_nor_answers(name: str) -> None:
    """The last step of the best branch was cut behind its answer."""
    verifier = SimulatedVerifier(given={"s1": 0.9, "s0": 0.8})
    model = SimulatedModel(1.0, {"s0": 1}, length=1, cut=frozenset({"s1", "s2", "s3"}))
    solution = search(name, 4, model, verifier, **without_rollouts(name))
    assert (solution.answer, solution.chosen) == ("42", "s0")
    assert set(verifier.scored) == {"s0"}
    assert all(node.answer is None for node in solution.candidates if node.finish_reason == "length")


# --- a failure of the verifier, scored 0.0 ----------------------------------------------------------------------------


@pytest.mark.parametrize("most", [0, 1, 5])
@pytest.mark.parametrize("name", SEARCHES)
def test_a_score_that_fails_fails_the_search(name: str, most: int) -> None:
    """Were it 0.0, the branch would be pruned and the search would answer without it."""
    verifier = SimulatedVerifier(most=most)
    with pytest.raises(ExceptionGroup) as caught:
        search(name, 8, SimulatedModel(1.0), verifier, **{"lookahead": 1} if name == "lookahead" else {})
    assert caught.value.split(OSError)[1] is None


@pytest.mark.parametrize("name", ["best_of_n", "weighted_vote", "majority_vote", "sequential_revision"])
async def test_a_score_that_fails_fails_the_choice(name: str) -> None:
    lines = [Line("= 1", (0.1,)), Line("= 2", OSError("the verifier is gone"))]
    act = scene(at_paths_of(name, lines))
    with pytest.raises(ExceptionGroup) as caught:
        await build(name).solve(act.task)
    assert caught.value.split(OSError)[1] is None


# --- a negative slice of nothing ([-0:]) that switches pruning off where n < M ----------------------------------------


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["beam_search", "lookahead", "dvts"])
def test_one_branch_is_kept_where_there_are_no_more_than_m(name: str, width: int) -> None:
    """n // M is zero below M, and the last zero of a list are all of it."""
    solution = search(name, width, SimulatedModel(length=2), beam_width=5, **without_rollouts(name))
    assert sorted(children_of(solution).values()) == [width]


# --- the first that finish kept, and not the best ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["beam_search", "lookahead", "dvts"])
def test_the_best_are_kept_and_not_the_first(name: str) -> None:
    scores = {"s0": 0.1, "s1": 0.2, "s2": 0.9, "s3": 0.3}
    solution = search(
        name, 4, SimulatedModel(length=2), SimulatedVerifier(given=scores), beam_width=4, **without_rollouts(name)
    )
    assert set(children_of(solution)) == {"s2"}


@pytest.mark.parametrize("name", ["beam_search", "lookahead", "rebase", "particle_filter"])
def test_those_that_finish_late_answer_where_they_are_better(name: str) -> None:
    """Two branches are wrong and end at once; those that go on are right and end last."""
    early = {"s0": 0.3, "s1": 0.3}

    class Late(SimulatedModel):
        async def step(self, path: str, parent: Candidate | None, *, temperature: float | None = None) -> Candidate:
            made = await super().step(path, parent, temperature=temperature)
            made.text = made.text.replace("42", "13") if path in early else made.text
            return made

    model = Late(1.0, dict.fromkeys(early, 1), length=3)
    solution = search(name, 4, model, SimulatedVerifier(given=early), **without_rollouts(name))
    assert {node.answer for node in solution.candidates if node.finish_reason == "stop"} == {"13", "42"}
    assert solution.answer == "42"


# --- shares rounded one after the other, so that more or less than the width is spent ---------------------------------


@pytest.mark.parametrize("name", ["beam_search", "rebase"])
@pytest.mark.parametrize(("width", "shares"), [(8, [3, 3, 2]), (7, [3, 2, 2]), (10, [4, 3, 3])])
def test_the_width_is_spent_to_the_last_branch_and_no_further(name: str, width: int, shares: list[int]) -> None:
    """Three equal branches live. Each rounded by itself, 8 would be spent as 9; each cut off, as 6."""
    cut = frozenset(f"s{index}" for index in range(3, width))
    even = SimulatedVerifier(given={f"s{index}": 0.5 for index in range(3)})
    parameters = {"beam_width": 3} if name == "beam_search" else {}
    solution = search(name, width, SimulatedModel(length=2, cut=cut), even, **parameters)
    assert [children_of(solution)[f"s{index}"] for index in range(3)] == shares
