"""Sequential revisions: what each attempt sees, how chains run, and how the best of each and of all is chosen."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as some

from strategies.protocols import BudgetExhausted, ProblemView, TokenUsage
from strategies.registry import build
from strategies.sampling import MOST_SAMPLES
from strategies.sequential_revision import SequentialRevision, path_of, place_of
from strategies.task import Budget, Candidate, Solution, Task
from strategies.votes import classify, elect, one_vote
from tests.unit.strategies.scripted import Fractions, Line, ScriptedVerifier


@dataclass
class Reviser:
    """Writes `lines` by path ("= 42" elsewhere), and remembers what it was shown."""

    lines: Mapping[str, Line] = field(default_factory=dict)
    most: int = 10**9
    seed: int = 0
    seen: dict[str, list[str]] = field(default_factory=dict)
    told: dict[str, list[tuple[float | None, ...] | None]] = field(default_factory=dict)

    async def sample(
        self,
        path: str,
        *,
        temperature: float | None = None,
        attempts: Sequence[Candidate] = (),
        feedback: bool = False,
    ) -> Candidate:
        if len(self.seen) >= self.most:
            raise BudgetExhausted
        self.seen[path] = [one.path for one in attempts]
        self.told[path] = [one.step_scores if feedback else None for one in attempts]
        for _ in range(random.Random(f"{self.seed} {path}").randrange(4)):
            await asyncio.sleep(0)
        line = self.lines.get(path, Line("= 42"))
        return Candidate(path, line.text, line.finish, TokenUsage(10, 0, 4))

    async def step(self, path: str, parent: Candidate | None, *, temperature: float | None = None) -> Candidate:
        raise AssertionError("revisions are whole solutions")


def task_of(
    model: Reviser, budget: Budget, *, verified: bool = False, given: Sequence[Candidate] = (), width: int = 0
) -> Task:
    return Task(
        problem=ProblemView("p", "?"),
        generator=model,
        verifier=ScriptedVerifier(model.lines) if verified else None,
        answers=Fractions(),
        budget=budget,
        seed=0,
        candidates=list(given),
        width=width,
    )


def revise(model: Reviser, samples: int, *, verified: bool = False, **parameters: object) -> Solution:
    task = task_of(model, Budget(samples, "samples"), verified=verified)
    return asyncio.run(build("sequential_revision", parameters).solve(task))


def grid(*chains: str, scores: Sequence[Sequence[float]] = ()) -> dict[str, Line]:
    """Lines by path: the characters of each chain are the answers of its attempts, x one that cannot be read."""
    return {
        path_of(chain, position): Line(
            "I give up" if answer == "x" else f"= {answer}", (scores[chain][position],) if scores else (0.5,)
        )
        for chain, answers in enumerate(chains)
        for position, answer in enumerate(answers)
    }


# --- chains -----------------------------------------------------------------------------------------------------------

FINISHES = some.sampled_from(["stop", "stop", "stop", "length", "blank"])


@given(some.integers(1, 4), some.integers(1, 9), some.integers(0, 99), some.data())
def test_an_attempt_sees_the_last_four_finished_ones_of_its_chain(
    chains: int, length: int, seed: int, data: some.DataObject
) -> None:
    lines = {}
    for chain in range(chains):
        for position in range(length):
            finish = data.draw(FINISHES)
            lines[path_of(chain, position)] = Line(
                " \n" if finish == "blank" else "= 42", finish="length" if finish == "length" else "stop"
            )
    model = Reviser(lines, seed=seed)
    solution = revise(model, chains * length, chains=chains, length=length)
    assert set(model.seen) == set(lines)
    for chain in range(chains):
        paths = [path_of(chain, position) for position in range(length)]
        for position, path in enumerate(paths):
            finished = [one for one in paths[:position] if lines[one].finish == "stop" and lines[one].text.strip()]
            assert model.seen[path] == finished[-4:]
    assert [one.path for one in solution.candidates] == list(lines)


def test_the_first_attempt_is_a_plain_sample_and_no_attempt_has_a_parent() -> None:
    model = Reviser()
    solution = revise(model, 8)
    assert sorted(model.seen) == ["0", "1", "r0.1", "r0.2", "r0.3", "r1.1", "r1.2", "r1.3"]
    assert model.seen["0"] == model.seen["1"] == []
    assert all(one.parent is None and one.solution == one.text for one in solution.candidates)


async def test_a_slow_chain_holds_up_no_other() -> None:
    ended = asyncio.Event()

    class Waiting(Reviser):
        async def sample(
            self,
            path: str,
            *,
            temperature: float | None = None,
            attempts: Sequence[Candidate] = (),
            feedback: bool = False,
        ) -> Candidate:
            if path == "0":
                await ended.wait()
            if path == "r1.3":
                ended.set()
            return await super().sample(path, attempts=attempts)

    async with asyncio.timeout(10):
        solution = await SequentialRevision().solve(task_of(Waiting(), Budget(8, "samples")))
    assert len(solution.candidates) == 8


@given(some.integers(0, 99), some.integers(0, 99))
def test_places_and_paths_are_inverse(chain: int, position: int) -> None:
    assert place_of(path_of(chain, position)) == (chain, position)


@pytest.mark.parametrize("path", ["greedy", "s0", "s0.1", "r1", "r.1", "0.1", "r0.1.2", "-1", ""])
def test_other_paths_have_no_place(path: str) -> None:
    assert place_of(path) is None


# --- how many ---------------------------------------------------------------------------------------------------------


@given(
    some.integers(1, 300),
    some.one_of(some.none(), some.integers(1, 300)),
    some.integers(1, 300),
    some.sampled_from(["samples", "tokens"]),
)
def test_chains_times_length_never_exceeds_n(width: int, chains: int | None, length: int, unit: str) -> None:
    budget = Budget(width, unit)  # type: ignore[arg-type]
    number, each = SequentialRevision(chains=chains, length=length).shape(budget, width)
    most = width if unit == "samples" or chains is None else MOST_SAMPLES
    assert min(number, each) >= 1
    assert number * each <= most
    # No chain more would fit, and each is as long as it was to be if that fits.
    assert number == (min(chains, most) if chains else max(1, most // length))
    assert each == length or (each + 1) * number > most


@pytest.mark.parametrize(
    ("samples", "parameters", "shape"),
    [
        (16, {}, (4, 4)),
        (3, {}, (1, 3)),
        (1, {}, (1, 1)),
        (6, {}, (1, 4)),
        (16, {"length": 8}, (2, 8)),
        (16, {"chains": 2}, (2, 4)),
        (8, {"chains": 3}, (3, 2)),
        (2, {"chains": 3}, (2, 1)),
    ],
)
def test_shapes(samples: int, parameters: dict[str, int], shape: tuple[int, int]) -> None:
    assert SequentialRevision(**parameters).shape(Budget(samples, "samples"), samples) == shape  # type: ignore[arg-type]
    solution = revise(Reviser(), samples, **parameters)
    assert (len(solution.candidates), solution.stopped) == (shape[0] * shape[1], "complete")


# --- choosing ---------------------------------------------------------------------------------------------------------


def test_a_vote_is_held_in_each_chain_and_then_among_them() -> None:
    """Over all attempts 1 has five votes and 2 has four; but two chains of three are for 2."""
    model = Reviser(grid("111", "221", "212"))
    assert revise(model, 9, chains=3, length=3).answer == "2"


@given(some.lists(some.text("123x", min_size=3, max_size=3), min_size=1, max_size=5))
def test_votes_are_hierarchical(chains: list[str]) -> None:
    solution = revise(Reviser(grid(*chains)), 3 * len(chains), chains=len(chains), length=3)
    winners = []
    for number in range(len(chains)):
        chain = solution.candidates[3 * number : 3 * number + 3]
        asyncio.run(classify(chain, Fractions()))
        found = elect(chain, one_vote)
        winners += [found] if found else []
    asyncio.run(classify(winners, Fractions()))
    best = elect(winners, one_vote)
    assert solution.answer == (best.answer if best else None)
    assert (solution.chosen is None) == (best is None)


def test_a_verifier_chooses_in_each_chain_and_then_among_them() -> None:
    """The highest score of all is in the chain that is outweighed: sums decide, first inside and then outside."""
    scores = [(0.1, 0.8, 0.75), (0.6, 0.5, 0.2), (0.1, 0.5, 0.1)]
    model = Reviser(grid("122", "332", "434", scores=scores))
    solution = revise(model, 9, verified=True, chains=3, length=3)
    # 2 speaks with its .8, 3 with .6 and .5.
    assert (solution.answer, solution.chosen) == ("3", "1")
    alone = revise(Reviser(grid("122", scores=scores)), 3, verified=True, length=3)
    assert (alone.answer, alone.chosen) == ("2", "r0.1")


def test_an_answer_speaks_with_its_best_score() -> None:
    scores = [(0.1, 0.2, 0.7), (0.6, 0.1, 0.1)]
    solution = revise(Reviser(grid("122", "344", scores=scores)), 6, verified=True, chains=2, length=3)
    assert (solution.answer, solution.chosen) == ("2", "r0.2")


def test_a_vote_asks_no_verifier_and_a_task_without_one_votes() -> None:
    lines = grid("1122", scores=[(0.1, 0.1, 0.9, 0.9)])
    task = task_of(Reviser(lines), Budget(4, "samples"), verified=True)
    solution = asyncio.run(SequentialRevision(select="vote").solve(task))
    assert isinstance(task.verifier, ScriptedVerifier)
    assert (solution.answer, task.verifier.scored) == ("1", [])
    assert revise(Reviser(lines), 4, select="verifier").answer == "1"
    assert revise(Reviser(lines), 4, verified=True).answer == "2"


def test_feedback_scores_every_step_of_what_is_shown_before_it_is_and_once() -> None:
    lines = {path_of(0, at): Line(f"= {at}", (0.9, at / 10)) for at in range(3)}
    model = Reviser(lines)
    task = task_of(model, Budget(3, "samples"), verified=True)
    solution = asyncio.run(SequentialRevision(feedback=True).solve(task))
    assert model.told == {"0": [], "r0.1": [(0.9, 0.0)], "r0.2": [(0.9, 0.0), (0.9, 0.1)]}
    assert isinstance(task.verifier, ScriptedVerifier)
    assert task.verifier.scored == ["0", "r0.1", "r0.2"]
    assert [one.score for one in solution.candidates] == [0.0, 0.1, 0.2]
    assert solution.answer == "2"
    silent = Reviser(lines)
    asyncio.run(SequentialRevision().solve(task_of(silent, Budget(3, "samples"), verified=True)))
    assert silent.told["r0.2"] == [None, None]


def test_equal_scores_say_nothing() -> None:
    assert revise(Reviser(grid("1222", scores=[(0.0,) * 4])), 4, verified=True).answer == "2"


def test_what_was_cut_has_no_vote_and_what_cannot_be_read_abstains() -> None:
    cut = Line("= 1", finish="length")
    lines = {"0": cut, "r0.1": cut, "1": Line("no idea"), "r1.1": Line("= 2")}
    solution = revise(Reviser(lines), 4, chains=2, length=2)
    assert (solution.answer, solution.chosen) == ("2", "r1.1")
    assert revise(Reviser(grid("xx")), 2).answer is None


# --- the budget, and going on -----------------------------------------------------------------------------------------


@given(some.integers(0, 12), some.integers(0, 99))
def test_a_chain_ends_where_the_budget_does(most: int, seed: int) -> None:
    model = Reviser(most=most, seed=seed)
    solution = revise(model, 12, chains=3, length=4)
    assert len(solution.candidates) == most
    assert solution.stopped == ("complete" if most == 12 else "budget")
    assert solution.answer == ("42" if most else None)
    # No gaps: what is there of a chain is its beginning.
    places = [place for place in map(place_of, model.seen) if place]
    for chain in range(3):
        positions = sorted(position for number, position in places if number == chain)
        assert positions == list(range(len(positions)))


def test_a_clipped_attempt_ends_its_chain() -> None:
    model = Reviser({"r0.1": Line("= 4", finish="clipped")})
    solution = revise(model, 4)
    assert (list(model.seen), solution.stopped) == (["0", "r0.1"], "budget")


def test_attempts_made_before_are_shown_and_not_drawn_again() -> None:
    usage = TokenUsage(10, 0, 4)
    before = [Candidate("0", "= 7", "stop", usage), Candidate("r0.1", "= 8", "stop", usage)]
    model = Reviser()
    solution = asyncio.run(SequentialRevision().solve(task_of(model, Budget(4, "samples"), given=before)))
    assert model.seen == {"r0.2": ["0", "r0.1"], "r0.3": ["0", "r0.1", "r0.2"]}
    assert solution.candidates[:2] == before
