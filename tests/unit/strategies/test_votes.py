"""Classes of answers and who wins among them."""

import random
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as some

from strategies.task import Candidate
from strategies.votes import classify, elect, leaders, verdict
from tests.unit.strategies.scripted import Fractions, Line, candidate


def voter(index: int, answer: str | None, score: float | None = None) -> Candidate:
    made = candidate(str(index), Line("text"))
    made.answer, made.score = answer, score
    return made


async def classified(*answers: str | None, scores: tuple[float, ...] | None = None) -> list[Candidate]:
    voters = [voter(i, answer, scores[i] if scores else None) for i, answer in enumerate(answers)]
    await classify(voters, Fractions())
    return voters


def one(candidate: Candidate) -> float:
    return 1.0


async def test_classes_are_numbered_by_first_appearance_and_abstainers_are_apart() -> None:
    voters = await classified("3", None, "0.5", "1/2", "3.0", None)
    assert [v.answer_class for v in voters] == [0, -1, 1, 1, 0, -1]


async def test_classifying_again_starts_anew() -> None:
    voters = await classified("3", "0.5", "1/2")
    voters[1].answer = None
    await classify(voters[1:], Fractions())
    assert [v.answer_class for v in voters] == [0, -1, 0]


async def test_equal_answers_written_differently_are_one_vote() -> None:
    winner = elect(await classified("3", "1/2", "3", "0.5", "2/4"), one)
    assert winner is not None
    assert (winner.path, winner.answer) == ("1", "1/2")


async def test_a_tie_goes_to_the_higher_verifier_sum() -> None:
    winner = elect(await classified("1", "2", "1", "2", scores=(0.1, 0.2, 0.3, 0.3)), one)
    assert winner is not None
    assert winner.answer == "2"


async def test_a_tie_in_both_goes_to_the_lower_index() -> None:
    winner = elect(await classified(None, "2", "1", "1", "2"), one)
    assert winner is not None
    assert winner.path == "1"
    # By the exact sums: added up in this order in floats, the second class would be ahead.
    voters = await classified("1", "1", "1", "2", "2", "2", scores=(0.3, 0.2, 0.1, 0.1, 0.2, 0.3))
    assert [members[0].path for members in leaders(voters, lambda v: v.score or 0.0)] == ["0", "3"]
    assert elect(voters, lambda v: v.score or 0.0) is voters[0]


async def test_nobody_is_elected_when_all_abstain() -> None:
    assert elect(await classified(None, None), one) is None
    assert elect([], one) is None


@pytest.mark.parametrize("score", [0.0, 0.5])
@pytest.mark.parametrize("abstainer", [None, 0.7])
async def test_what_an_abstainer_scores_makes_equal_scores_no_verdict(score: float, abstainer: float | None) -> None:
    """One is cut or cannot be read: among the others all are worth the same, if it be nothing, so most votes win."""
    voters = await classified("1", "2", "2", None, scores=(score, score, score, abstainer))  # type: ignore[arg-type]
    assert elect(voters, verdict(voters)) is voters[1]


SCORES = some.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
BALLOTS = some.lists(some.tuples(some.sampled_from(["1", "2", "3", "6/2", "1/2", "0.5", None]), SCORES), max_size=12)


@given(BALLOTS)
async def test_the_winner_is_the_one_the_rule_names(ballots: list[tuple[str | None, float]]) -> None:
    voters = [voter(index, answer, score) for index, (answer, score) in enumerate(ballots)]
    await classify(voters, Fractions())
    votes: Counter[Fraction] = Counter()
    scores: Counter[Fraction] = Counter()
    first: dict[Fraction, int] = {}
    for index, (answer, score) in enumerate(ballots):
        if answer is not None:
            votes[Fraction(answer)] += 1
            scores[Fraction(answer)] += Fraction(score)  # type: ignore[assignment]
            first.setdefault(Fraction(answer), index)
    winner = elect(voters, one)
    if not first:
        assert winner is None
    else:
        best = max(first, key=lambda value: (votes[value], scores[value], -first[value]))
        assert winner is voters[first[best]]


@given(BALLOTS, some.integers())
async def test_only_ties_depend_on_the_order(ballots: list[tuple[str | None, float]], seed: int) -> None:
    shuffled = ballots.copy()
    random.Random(seed).shuffle(shuffled)
    winners = []
    for order in (ballots, shuffled):
        voters = [voter(index, answer, score) for index, (answer, score) in enumerate(order)]
        await classify(voters, Fractions())
        tied = leaders(voters, lambda v: v.score or 0.0)
        winners.append({Fraction(members[0].answer or 0) for members in tied})
    assert winners[0] == winners[1]


class Neighbours(Fractions):
    """Whole numbers are equal to those beside them: 1 and 2, 2 and 3, but not 1 and 3."""

    async def equivalent(self, left: str, right: str) -> bool:
        return abs(int(left) - int(right)) <= 1


async def test_a_chain_of_equal_answers_is_one_class() -> None:
    voters = [voter(index, answer) for index, answer in enumerate(["1", "9", "3", None, "2", "9"])]
    await classify(voters, Neighbours())
    assert [one.answer_class for one in voters] == [0, 1, 0, -1, 0, 1]


@given(some.lists(some.integers(0, 30), max_size=12), some.randoms())
async def test_classes_do_not_depend_on_the_order_even_where_equality_is_not_transitive(
    numbers: list[int], dice: random.Random
) -> None:
    # By definition: two neighbours in the sorted list are parted where they are not equal.
    ordered = sorted(set(numbers))
    parted = [place for place in range(1, len(ordered)) if ordered[place] - ordered[place - 1] > 1]
    ends = zip([0, *parted], [*parted, len(ordered)], strict=True)
    expected = {frozenset(ordered[start:end]) for start, end in ends if ordered}
    dice.shuffle(numbers)
    voters = [voter(index, str(number)) for index, number in enumerate(numbers)]
    await classify(voters, Neighbours())
    found: dict[int, set[int]] = {}
    for one in voters:
        found.setdefault(one.answer_class, set()).add(int(one.answer or 0))
    assert {frozenset(members) for members in found.values()} == expected
    assert list(found) == list(range(len(found)))
