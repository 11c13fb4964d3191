"""First finish: who is first, what the others cost, and that nobody goes on for longer than a segment."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as some

from strategies.protocols import BudgetExhausted, ProblemView, TokenUsage
from strategies.registry import build
from strategies.task import Budget, Candidate, Solution, Task
from tests.unit.strategies.scripted import Fractions


@dataclass
class Writer:
    """Sample i is `lengths[i]` tokens long and answers `answers[i]`; what is longer than `longest` is cut there."""

    lengths: Sequence[int]
    answers: str = ""
    longest: int = 10**9
    most: int = 10**9
    seed: int = 0
    drawn: list[str] = field(default_factory=list)
    in_flight: int = 0

    async def sample(
        self,
        path: str,
        *,
        temperature: float | None = None,
        attempts: Sequence[Candidate] = (),
        feedback: bool = False,
    ) -> Candidate:
        raise AssertionError("whole samples cannot be stopped")

    async def step(self, path: str, parent: Candidate | None, *, temperature: float | None = None) -> Candidate:
        raise AssertionError("a segment is no step")

    async def segment(
        self, path: str, parent: Candidate | None, tokens: int, *, temperature: float | None = None
    ) -> Candidate:
        if len(self.drawn) >= self.most:
            raise BudgetExhausted
        self.drawn.append(path)
        self.in_flight += 1
        for _ in range(random.Random(f"{self.seed} {path}").randrange(9)):
            await asyncio.sleep(0)
        self.in_flight -= 1
        index = number_of(path)
        before = length_of(parent) if parent else 0
        left = min(self.lengths[index], self.longest) - before
        ends = left <= tokens
        cut = self.lengths[index] > self.longest
        answer = self.answers[index] if self.answers else "7"
        return Candidate(
            path,
            f"= {answer}" if ends and answer != "x" else "word ",
            ("length" if cut else "stop") if ends else "step",
            TokenUsage(10 + before, 0, min(left, tokens)),
            parent=parent,
            tokens=None if ends else (1,) * tokens,
        )


def number_of(path: str) -> int:
    return int(path[1:].partition(".")[0])


def length_of(leaf: Candidate) -> int:
    return sum(one.usage.generated_tokens for one in leaf.lineage)


def task_of(model: Writer, given: Sequence[Candidate] = ()) -> Task:
    budget = Budget(len(model.lengths), "samples")
    return Task(ProblemView("p", "?"), model, None, Fractions(), budget, 0, candidates=list(given))


def finish(model: Writer, **parameters: object) -> Solution:
    return asyncio.run(build("first_finish", parameters).solve(task_of(model)))


def written(solution: Solution) -> dict[int, int]:
    """Tokens generated for each sample."""
    found: dict[int, int] = defaultdict(int)
    for one in solution.candidates:
        found[number_of(one.path)] += one.usage.generated_tokens
    return found


LENGTHS = some.lists(some.integers(1, 60), min_size=1, max_size=12)


@given(LENGTHS, some.integers(10, 60), some.integers(1, 14), some.integers(1, 25))
def test_those_that_were_cut_are_not_among_the_finished(
    lengths: list[int], longest: int, finishers: int, segment: int
) -> None:
    """The k-th shortest *finished* length ends it; where fewer finish, everything is written to its end."""
    solution = finish(Writer(lengths, longest=longest), finishers=finishers, segment=segment)
    finished = sorted(length for length in lengths if length <= longest)
    last = finished[finishers - 1] if len(finished) >= finishers else longest
    for index, length in enumerate(lengths):
        whole = min(length, longest)
        assert min(whole, last) <= written(solution)[index] <= min(whole, last + segment - 1)
    assert solution.stopped == ("complete" if finished else "unfinished")


@given(LENGTHS, some.integers(1, 14), some.integers(1, 25), some.integers(0, 99))
def test_a_sample_costs_its_tokens_up_to_the_last_finisher_and_less_than_a_segment_more(
    lengths: list[int], finishers: int, segment: int, seed: int
) -> None:
    """Cost = sum of min(len_i, the k-th shortest length); of what came in the last segment, all is counted."""
    model = Writer(lengths, seed=seed)
    solution = finish(model, finishers=finishers, segment=segment)
    last = sorted(lengths)[min(finishers, len(lengths)) - 1]
    found = written(solution)
    for index, length in enumerate(lengths):
        assert min(length, last) <= found[index] <= length
        assert found[index] < min(length, last) + segment
    assert sum(found.values()) == sum(min(length, -(-last // segment) * segment) for length in lengths)
    assert sorted(one.path for one in solution.candidates) == sorted(model.drawn)
    assert model.in_flight == 0


def test_with_segments_of_one_token_the_cost_is_exact() -> None:
    lengths = [5, 30, 7, 12]
    assert sum(written(finish(Writer(lengths), finishers=2, segment=1)).values()) == 5 + 7 + 7 + 7


@given(LENGTHS, some.integers(1, 14), some.integers(1, 25), some.integers(0, 99), some.data())
def test_the_shortest_vote_whatever_came_first(
    lengths: list[int], finishers: int, segment: int, seed: int, data: some.DataObject
) -> None:
    answers = data.draw(some.text("123x", min_size=len(lengths), max_size=len(lengths)))
    solution = finish(Writer(lengths, answers, seed=seed), finishers=finishers, segment=segment)
    first = sorted(sorted(range(len(lengths)), key=lambda index: lengths[index])[:finishers])
    votes = [answers[index] for index in first if answers[index] != "x"]
    most = max((votes.count(answer) for answer in votes), default=0)
    assert solution.answer == next((answer for answer in votes if votes.count(answer) == most), None)
    assert {number_of(one.path) for one in solution.candidates if one.kept} == set(first)
    assert solution.stopped == "complete"


def test_one_that_ended_too_late_is_graded_and_has_no_vote() -> None:
    """Both end in the first segment: the shorter one answers, and the other is given up though it has an answer."""
    solution = finish(Writer([9, 8, 80], "127"), segment=16)
    assert (solution.answer, solution.chosen) == ("2", "f1")
    late = next(one for one in solution.candidates if one.path == "f0")
    assert (late.answer, late.answer_class >= 0, late.kept) == ("1", True, False)
    unended = next(one for one in solution.candidates if one.path == "f2")
    assert (unended.finish_reason, unended.answer, unended.kept) == ("step", None, False)


def test_an_answer_that_cannot_be_read_takes_a_place_and_abstains() -> None:
    assert finish(Writer([3, 9], "x2"), segment=4).answer is None
    assert finish(Writer([3, 9], "x2"), segment=4, finishers=2).answer == "2"


def test_what_is_cut_has_not_finished() -> None:
    solution = finish(Writer([50, 20, 50], "121", longest=30), finishers=2, segment=7)
    assert (solution.answer, solution.stopped) == ("2", "complete")
    assert written(solution) == {0: 30, 1: 20, 2: 30}
    nobody = finish(Writer([50, 50], longest=30))
    assert (nobody.answer, nobody.chosen, nobody.stopped) == (None, None, "unfinished")


@given(LENGTHS, some.integers(1, 14), some.integers(1, 25), some.integers(0, 60))
def test_where_the_budget_ends_it_those_that_ended_vote(
    lengths: list[int], finishers: int, segment: int, most: int
) -> None:
    needed = len(finish(Writer(lengths), finishers=finishers, segment=segment).candidates)
    solution = finish(Writer(lengths, most=most), finishers=finishers, segment=segment)
    assert len(solution.candidates) == min(most, needed)
    ended = [one for one in solution.candidates if one.finish_reason == "stop"]
    assert solution.stopped == ("complete" if most >= needed or len(ended) >= finishers else "budget")
    assert solution.answer == ("7" if ended else None)


def test_a_sample_that_the_budget_cut_early_is_told_though_others_end() -> None:
    class Clipping(Writer):
        async def segment(
            self, path: str, parent: Candidate | None, tokens: int, *, temperature: float | None = None
        ) -> Candidate:
            made = await super().segment(path, parent, tokens)
            return replace(made, finish_reason="clipped") if path == "f1" else made

    solution = finish(Clipping([30, 30]), finishers=2, segment=10)
    assert (solution.answer, solution.chosen, solution.stopped) == ("7", "f0.2", "budget")


def test_it_goes_on_from_segments_made_before() -> None:
    model = Writer([10, 12])
    first = asyncio.run(model.segment("f0", None, 8))
    model.drawn.clear()
    solution = asyncio.run(build("first_finish", {"segment": 8, "finishers": 2}).solve(task_of(model, [first])))
    assert sorted(model.drawn) == ["f0.1", "f1", "f1.1"]
    assert written(solution) == {0: 10, 1: 12}
    assert solution.candidates[2].parent is first
