"""A generator that is asked whether a solution is right: what it reads, how its answer is read, and what it costs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from models.catalogue import find_generator, find_verifier, verified
from models.costs import CostModel
from models.errors import UserError
from models.flops import forward_flops
from models.judging import MOST_ASKED, QUESTION
from models.settings import ModelEntry
from strategies.protocols import (
    Completion,
    Generator,
    Message,
    NextTokens,
    Prefix,
    ProblemView,
    QueryError,
    Reader,
    Sampling,
    Step,
    TokenUsage,
)
from strategies.task import Candidate
from tests.unit.worker.scripted import ARCHITECTURE, COSTS, PRICE
from worker.ledger import Ledger
from worker.verifiers import Verifiers
from worker.verifiers.judge import Judge

PROBLEM = ProblemView("p", "1+1+3?", "5")
STEPS = [Step("1+1 is 2\n"), Step("2+3 is 6\n"), Step("so 6")]


class Reviewer:
    """One token a word; the chances of the next one are those of `answers` in turn, of the rest none."""

    name, capacity, context_length = "reviewer", 1, 100

    def __init__(self, *answers: Mapping[str, float]) -> None:
        self.read: list[str] = []
        self.cached = [0]
        self._answers = iter(answers)
        self._words: dict[str, int] = {}

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(
            self._words.setdefault(word, len(self._words)) for word in re.findall(r"[ ]?[A-Za-z]+|.", text, re.S)
        )

    def _text(self, tokens: Sequence[int]) -> str:
        return "".join(list(self._words)[token] for token in tokens)

    async def encode(self, messages: Sequence[Message]) -> Prefix:
        (message,) = messages
        return Prefix(tokens=self._ids(f"<{message.role}>{message.content}<assistant>"))

    async def tokenize(self, text: str) -> tuple[int, ...]:
        return self._ids("^" + text)

    async def next_logprobs(self, prefixes: Sequence[Sequence[int]], wanted: Sequence[int]) -> list[NextTokens]:
        return [self._next(tokens, wanted) for tokens in prefixes]

    def _next(self, tokens: Sequence[int], wanted: Sequence[int]) -> NextTokens:
        self.read.append(self._text(tokens))
        chances = {self._ids(word)[0]: chance for word, chance in next(self._answers).items()}
        logprobs = tuple(math.log(chances[token]) if chances.get(token) else -math.inf for token in wanted)
        return NextTokens(logprobs, TokenUsage(len(tokens), None, 0))

    async def generate(
        self, prefix: Prefix, *, n: int, stop: Sequence[str], max_tokens: int, sampling: Sampling, seeds: Sequence[int]
    ) -> list[Completion]:
        raise AssertionError("a judge is read from")

    async def close(self) -> None: ...


def asked(solution: str) -> str:
    return f"<user>Problem:\n1+1+3?\n\nSolution:\n{solution}{QUESTION}<assistant>"


async def test_every_step_is_asked_about_behind_those_before_it() -> None:
    reviewer = Reviewer({"Yes": 0.6, "No": 0.2}, {"Yes": 0.1, "No": 0.4}, {"Yes": 0.05, "No": 0.05})
    assert isinstance(reviewer, Generator)
    assert isinstance(reviewer, Reader)
    scores = await Judge("judge", reviewer).score(PROBLEM, STEPS)
    assert scores.steps == pytest.approx((0.75, 0.2, 0.5))
    assert reviewer.read == [asked("1+1 is 2"), asked("1+1 is 2\n2+3 is 6"), asked("1+1 is 2\n2+3 is 6\nso 6")]
    assert [one.prompt_tokens for one in scores.passes] == [len(reviewer._ids(text)) for text in reviewer.read]
    assert scores.tail == len(reviewer._ids(QUESTION + "<assistant>"))


async def test_only_what_is_wanted_is_asked() -> None:
    reviewer = Reviewer({"Yes": 0.3, "No": 0.1})
    scores = await Judge("judge", reviewer).score(PROBLEM, STEPS, first=2)
    assert scores.steps == pytest.approx((0.75,))
    assert reviewer.read == [asked("1+1 is 2\n2+3 is 6\nso 6")]


async def test_an_answer_is_the_sum_of_its_spellings() -> None:
    reviewer = Reviewer({"Yes": 0.2, " yes": 0.05, "YES": 0.05, "No": 0.05, " no": 0.05, "Maybe": 0.6})
    scores = await Judge("judge", reviewer).score(PROBLEM, STEPS[:1])
    assert scores.steps == pytest.approx((0.75,))


async def test_a_model_that_answers_something_else_gives_no_score() -> None:
    with pytest.raises(QueryError, match="judge: the model answers neither Yes nor No"):
        await Judge("judge", Reviewer({"Maybe": 1.0})).score(PROBLEM, STEPS[:1])


async def test_a_model_that_spells_yes_letter_by_letter_cannot_judge() -> None:
    class Speller(Reviewer):
        def _ids(self, text: str) -> tuple[int, ...]:
            return tuple(text.encode())

    with pytest.raises(QueryError, match="judge: Yes and No are no tokens of this model, so it cannot judge"):
        await Judge("judge", Speller()).score(PROBLEM, STEPS)


def test_what_is_behind_the_steps_is_read_again_for_each() -> None:
    ledger = Ledger(verified(COSTS, CostModel("judge", ARCHITECTURE, PRICE)))
    first = Candidate("s0", "a", "step", TokenUsage(30, 0, 6))
    ledger.scoring(first, (TokenUsage(50, 0, 0), TokenUsage(56, 0, 0)), 0.0, tail=12)
    ledger.scoring(
        Candidate("s0.0", "b", "stop", TokenUsage(36, 0, 4), parent=first), (TokenUsage(60, 0, 0),), 0.0, tail=12
    )
    (row,) = ledger.rows()
    assert row["scored_tokens"] == 50 + (56 - 38) + (60 - 44)
    passes = ((50, 0), (56 - 38, 38), (60 - 44, 44))
    assert row["flops_canonical"] == sum(forward_flops(ARCHITECTURE, new, known, 1) for new, known in passes)


def test_a_budget_holds_the_questions() -> None:
    tags = replace(COSTS, verifier=CostModel("tiny-prm", ARCHITECTURE, PRICE))
    judged = verified(COSTS, CostModel("judge", ARCHITECTURE, PRICE))
    held = [costs.amount("tokens", 30, 8, first=True) for costs in (tags, judged, replace(judged, every_step=True))]
    assert held[1] - held[0] >= MOST_ASKED
    assert held[2] - held[1] == 7 * MOST_ASKED


async def test_the_jobs_own_generator_is_not_started_again() -> None:
    reviewer = Reviewer({"Yes": 0.5, "No": 0.5})

    async def never(text: str, reference: str) -> bool:
        raise AssertionError

    verifiers = Verifiers()
    verifier, costs = await verifiers.find("judge", "whatever", never, (reviewer, COSTS))
    again, _ = await verifiers.find("judge", "whatever", never, (reviewer, COSTS))
    assert again is verifier, "how it spells its answers is asked once, not for every query"
    assert costs == replace(COSTS, model="judge")
    assert (await verifier.score(PROBLEM, STEPS[:1])).steps == (0.5,)


def test_a_judge_is_a_generator_by_name() -> None:
    tiny, large = find_generator("tiny"), find_generator("tiny-large")
    assert find_verifier("judge", tiny) == replace(tiny, name="judge")
    assert find_verifier("judge:tiny-large", tiny) == replace(large, name="judge:tiny-large")
    assert find_verifier("judge:tiny", tiny) == replace(tiny, name="judge")
    instant = replace(tiny, entry=ModelEntry(engine="instant", model="x"))
    served = replace(tiny, entry=ModelEntry(engine="openai", model="m", url="http://localhost:1/v1"))
    assert find_verifier("judge", served) == replace(served, name="judge")
    for name, own, message in (
        ("judge", None, "--verifier judge: there is no generator here"),
        ("judge", instant, "--verifier judge: the engine instant is no model"),
        ("judge:tinny", tiny, "--verifier judge: unknown model 'tinny'"),
    ):
        with pytest.raises(UserError, match=message):
            find_verifier(name, own)
