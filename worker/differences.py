"""Differences: what a recording read in its solutions, held of them and chose among them, against what we do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from models.recorded import Prediction, Recorded, Sample
from strategies.protocols import Answers, ProblemView
from strategies.task import Candidate
from strategies.votes import leaders, one_vote, verdict
from worker.extraction import boxed

ANSWERS = "answers read"
VERDICTS = "verdicts"
_LAST_NUMBER = "extraction: the last number of a solution that announces another answer, or none"
_REWRITTEN = "rewriting: what the recording made of an answer that we read as it stands"
_DIGITS = re.compile(r"-?\d*\.?\d+")
_EMPTY = ("", "\\boxed{}")


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that the recording and we see differently. `field` is where the recording says it, `solution` counts
    from 1; an answer is None where none was read. The verdicts are None without a reference."""

    key: str
    field: str
    solution: int | None
    recorded: str | None
    ours: str | None
    reference: str | None
    recorded_right: bool | None
    ours_right: bool | None
    reason: str


@dataclass(slots=True)
class Tally:
    """By the recording's field: how much could be compared, how much of it agrees, how much has a reference, and how
    often the recording's and our answer are right by it."""

    compared: Counter[str] = field(default_factory=Counter)
    agreed: Counter[str] = field(default_factory=Counter)
    graded: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    ours_right: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count another's, whose differences are left where they are: there may be many."""
        for name in ("compared", "agreed", "graded", "right", "ours_right"):
            getattr(self, name).update(getattr(other, name))


class Verdicts:
    """Which answers of one problem are the same, and which are right."""

    def __init__(self, problem: ProblemView, answers: Answers) -> None:
        self.problem, self._answers = problem, answers
        self._known: dict[str, bool] = {}

    async def right(self, answer: str | None) -> bool | None:
        """None without a reference; no answer is wrong."""
        if self.problem.answer is None:
            return None
        if answer is None:
            return False
        if answer not in self._known:
            self._known[answer] = await self._answers.equivalent(answer, self.problem.answer)
        return self._known[answer]

    async def same(self, left: str | None, right: str | None) -> bool:
        if left is None or right is None:
            return left is right
        return await self._answers.equivalent(left, right)


class Comparison:
    """Of one problem's graded candidates, which have their answers, classes and scores, with the recording."""

    def __init__(self, recorded: Recorded, candidates: Sequence[Candidate], verdicts: Verdicts) -> None:
        self.tally = Tally()
        self._recorded, self._candidates, self._verdicts = recorded, candidates, verdicts
        self._key, self._reference = verdicts.problem.key, verdicts.problem.answer

    async def run(self) -> Tally:
        for number, (candidate, sample) in enumerate(zip(self._candidates, self._recorded.samples, strict=True), 1):
            if sample.prediction is not None:
                theirs = sample.prediction or None
                same = await self._verdicts.same(theirs, candidate.answer)
                reason = "" if same else await self._read_otherwise(theirs, candidate)
                await self._note(ANSWERS, number, theirs, candidate.answer, same, reason)
            if sample.verdict is not None and self._reference is not None:
                await self._compare_verdict(number, sample, candidate)
        for prediction in self._recorded.predictions:
            first = self._candidates[: prediction.samples]
            ours = self._elected(prediction, first)
            theirs = None if prediction.answer.strip() in _EMPTY else prediction.answer
            answer = ours.answer if ours else None
            same = await self._verdicts.same(theirs, answer)
            reason = "" if same else await self._chosen_otherwise(prediction, theirs, ours, first)
            await self._note(prediction.field, None, theirs, answer, same, reason)
        return self.tally

    async def _compare_verdict(self, number: int, sample: Sample, candidate: Candidate) -> None:
        ours = await self._verdicts.right(candidate.answer)
        same = ours == sample.verdict
        theirs = candidate.answer if sample.prediction is None else sample.prediction or None
        if same:
            reason = ""
        elif await self._verdicts.same(theirs, candidate.answer):
            held = "equal" if ours else "different"
            reason = f"equivalence: we hold this answer and the reference to be {held}"
        else:
            reason = await self._read_otherwise(theirs, candidate)
        self._count(VERDICTS, same, sample.verdict, ours)
        if not same:
            self.tally.differences.append(
                Difference(
                    self._key,
                    VERDICTS,
                    number,
                    theirs,
                    candidate.answer,
                    self._reference,
                    sample.verdict,
                    ours,
                    reason,
                )
            )

    def _elected(self, prediction: Prediction, first: Sequence[Candidate]) -> Candidate | None:
        """Our choice by the recording's rule: ties go to the lower index."""
        if prediction.rule == "best_of_n":
            scored = [one for one in first if one.score is not None and one.answer is not None]
            return max(scored, key=lambda one: one.score or 0.0, default=None)
        tied = leaders(first, _weight(prediction, first))
        return tied[0][0] if tied else None

    async def _chosen_otherwise(
        self, prediction: Prediction, theirs: str | None, ours: Candidate | None, first: Sequence[Candidate]
    ) -> str:
        if theirs is None:
            return "extraction: the recording chose a solution in which it read no answer; ours abstains"
        members = [one for one in first if await self._verdicts.same(one.answer, theirs)]
        if not members:
            if any(one.answer is not None and _bare(one.answer) == _bare(theirs) for one in first):
                return _REWRITTEN
            if await self._is_last_number(theirs, first):
                return _LAST_NUMBER
            if any(one.answer is not None and _is_left_of(theirs, one.answer) for one in first):
                return _REWRITTEN
            return "extraction: we read this answer in none of these solutions"
        if ours is None:
            return "extraction: we read an answer in none of the solutions that could be chosen"
        if prediction.rule == "best_of_n":
            best, other = max(one.score or 0.0 for one in members), ours.score or 0.0
            return "a tie of scores" if best == other else "extraction: we read another answer in the best solution"
        weight = _weight(prediction, first)
        sums = [
            sum(weight(one) for one in first if one.answer_class == number)
            for number in (members[0].answer_class, ours.answer_class)
        ]
        if abs(sums[0] - sums[1]) < 1e-9:
            return "a tie of votes"
        return "votes: answers that we hold to be equal, or read, are counted together differently"

    async def _read_otherwise(self, theirs: str | None, candidate: Candidate) -> str:
        if candidate.answer is None and candidate.finish_reason != "stop":
            return "extraction: the solution was cut, and we read no answer in it"
        if theirs is not None and candidate.answer is not None and _bare(theirs) == _bare(candidate.answer):
            return _REWRITTEN
        if theirs is not None and await self._is_last_number(theirs, [candidate]):
            return _LAST_NUMBER
        if candidate.answer is None:
            return "extraction: we read no answer in it"
        if theirs is None:
            return "extraction: we read an answer where the recording has none"
        return "extraction: we read another answer in it"

    async def _is_last_number(self, theirs: str, candidates: Sequence[Candidate]) -> bool:
        """Whether it is the last run of digits of a solution in which we read something else, or nothing."""
        found = {number for one in candidates for number in _DIGITS.findall(one.text.replace(",", ""))[-1:]}
        return any([await self._verdicts.same(number, theirs) for number in found])

    async def _note(
        self,
        name: str,
        number: int | None,
        theirs: str | None,
        ours: str | None,
        same: bool,
        reason: str,
    ) -> None:
        verdicts = await self._verdicts.right(theirs), await self._verdicts.right(ours)
        self._count(name, same, *verdicts)
        if not same:
            self.tally.differences.append(
                Difference(self._key, name, number, theirs, ours, self._reference, *verdicts, reason)
            )

    def _count(self, name: str, same: bool, theirs: bool | None, ours: bool | None) -> None:
        self.tally.compared[name] += 1
        self.tally.agreed[name] += same
        if self._reference is not None:
            self.tally.graded[name] += 1
            self.tally.right[name] += bool(theirs)
            self.tally.ours_right[name] += bool(ours)


def _weight(prediction: Prediction, first: Sequence[Candidate]) -> Callable[[Candidate], float]:
    return one_vote if prediction.rule == "majority_vote" else verdict(first)


def _bare(answer: str) -> str:
    """What is left of an answer whatever spaces, braces and commands are lost on the way."""
    return re.sub(
        r"\\(?:text|mathrm|mbox|left|right|quad|circ)|[\s\\{}$^%!,;:.]", "", boxed(answer) or answer
    ).casefold()


def _is_left_of(theirs: str, answer: str) -> bool:
    """Whether a recorded answer is what is left of one when letters are taken for units: `(2)(5)` of `(a+2)(b+5)`."""
    left, characters = _bare(theirs), iter(_bare(answer))
    return len(left) > 1 and all(character in characters for character in left)
