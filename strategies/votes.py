"""Votes over equivalence classes of answers. Ties: higher verifier sum, then lower index."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from strategies.protocols import Answers
from strategies.task import Candidate


async def classify(candidates: Sequence[Candidate], answers: Answers) -> None:
    """Number the classes of the candidates' answers in `answer_class`, in order of first appearance.

    Two answers are in one class where a chain of equal ones leads from one to the other. So the classes are the same
    in whatever order the candidates come, even where equality is not transitive, as with a tolerance.
    An answer that could not be read abstains: class -1.
    """
    classes: list[list[str]] = []
    for answer in dict.fromkeys(candidate.answer for candidate in candidates):
        if answer is None:
            continue
        met = [members for members in classes if await _equals_one_of(members, answer, answers)]
        classes = [members for members in classes if members not in met[1:]]
        if met:
            met[0] += [answer, *(member for members in met[1:] for member in members)]
        else:
            classes.append([answer])
    numbers = {answer: number for number, members in enumerate(classes) for answer in members}
    for candidate in candidates:
        candidate.answer_class = -1 if candidate.answer is None else numbers[candidate.answer]


async def _equals_one_of(members: Sequence[str], answer: str, answers: Answers) -> bool:
    for member in members:
        if await answers.equivalent(member, answer):
            return True
    return False


def leaders(candidates: Sequence[Candidate], weight: Callable[[Candidate], float]) -> list[list[Candidate]]:
    """The classes with the largest sum of weights: more than one where they tie, none where all abstained.

    `candidates` must be classified and in index order; so are the members of a class, and the classes by their first.
    """
    classes: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        if candidate.answer_class >= 0:
            classes.setdefault(candidate.answer_class, []).append(candidate)
    # fsum: a sum that is rounded once does not depend on the order in which the votes came in.
    votes = {number: math.fsum(map(weight, members)) for number, members in classes.items()}
    most = max(votes.values(), default=0.0)
    return [members for number, members in classes.items() if votes[number] == most]


def elect(candidates: Sequence[Candidate], weight: Callable[[Candidate], float]) -> Candidate | None:
    """The first candidate of the class with the largest sum of weights, or None when all abstained.

    Ties go to the higher sum of verifier scores, then to the lower index. Self-consistency (Wang et al., 2203.11171,
    section 2) is weight 1; best-of-N weighted (Li et al., 2206.02336; Snell et al., 2408.03314, section 5.1) the
    verifier's score.
    """
    tied = leaders(candidates, weight)
    # max returns the first of equals, which is the lower index.
    winner = max(tied, key=lambda members: math.fsum(member.score or 0.0 for member in members), default=None)
    return winner[0] if winner else None


def one_vote(candidate: Candidate) -> float:
    """The weight of a candidate in a vote of equals."""
    return 1.0


def verdict(voters: Sequence[Candidate]) -> Callable[[Candidate], float]:
    """The weight of a candidate in a weighted vote: its score. Scores that are all the same say nothing (if they are
    all 0.0, not even how many voted for what), so then it is a vote of equals. Who abstains is not asked."""
    if len({voter.score for voter in voters if voter.answer_class >= 0}) == 1:
        return one_vote
    return lambda candidate: candidate.score or 0.0
