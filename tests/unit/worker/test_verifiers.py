"""The verifiers: those that need no model, and how one that is a model is written to and read."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from models.catalogue import MODEL_FREE_VERIFIERS
from strategies.protocols import NextTokens, ProblemView, QueryError, Step, TokenUsage
from worker.verifiers import Verifiers
from worker.verifiers.exact import Exact
from worker.verifiers.label_token import TINY_PRM, LabelToken
from worker.verifiers.mean_logprob import MeanLogprob

PROBLEM = ProblemView("p", "2 + 2?", "4")


async def grade(text: str, reference: str) -> bool:
    return text.endswith(f"= {reference}")


@pytest.mark.parametrize("name", MODEL_FREE_VERIFIERS)
async def test_each_is_found_by_name_and_only_the_oracle_is_labelled(name: str) -> None:
    verifier, costs = await Verifiers().find(name, None, grade)
    assert (verifier.name, verifier.oracle, costs) == (name, name == "exact", None)


async def test_an_unknown_name_lists_those_there_are() -> None:
    known = "choose one of mean_logprob, exact, judge, judge:GENERATOR, tiny-prm"
    with pytest.raises(QueryError, match=f"--verifier: unknown verifier 'prm'; {known}"):
        await Verifiers().find("prm", None, grade)


async def test_confidence_is_the_mean_probability_of_each_steps_tokens() -> None:
    scores = await MeanLogprob().score(PROBLEM, [Step("a", math.log(0.5)), Step("b", 0.0)])
    assert scores.steps == pytest.approx((0.5, 1.0))
    assert scores.passes == ()
    rounded = await MeanLogprob().score(PROBLEM, [Step("a", 1e-9), Step("b", -math.inf)])
    assert rounded.steps == (1.0, 0.0)


async def test_a_missing_log_probability_is_not_a_low_score() -> None:
    with pytest.raises(QueryError, match="returned no log-probabilities"):
        await MeanLogprob().score(PROBLEM, [Step("a", -1.0), Step("b")])


async def test_the_oracle_reads_the_whole_solution_and_the_reference() -> None:
    exact = Exact(grade)
    assert (await exact.score(PROBLEM, [Step("2 + 2 "), Step("= 4")])).steps == (1.0, 1.0)
    assert (await exact.score(PROBLEM, [Step("2 + 2 "), Step("= 5")])).steps == (0.0, 0.0)


async def test_the_oracle_cannot_score_without_a_reference() -> None:
    with pytest.raises(QueryError, match="no reference answer"):
        await Exact(grade).score(ProblemView("p", "2 + 2?"), [Step("= 4")])


class ByteReader:
    """One token a byte; the chance of the label "+" at a tag is `chances` in turn, of "-" the rest."""

    name = "bytes"
    context_length = 100

    def __init__(self, *chances: float, label_mass: float = 1.0) -> None:
        self.read: list[str] = []
        self._chances = iter(chances)
        self._mass = label_mass

    async def tokenize(self, text: str) -> tuple[int, ...]:
        return (256, *text.encode())

    async def next_logprobs(self, tokens: Sequence[int], wanted: Sequence[int]) -> NextTokens:
        assert tuple(wanted) == (ord("+"), ord("-"))
        self.read.append(bytes(tokens[1:]).decode())
        chance = next(self._chances)
        pair = [self._mass * chance, self._mass * (1 - chance)]
        logprobs = tuple(math.log(p) if p else -math.inf for p in pair)
        return NextTokens(logprobs, TokenUsage(len(tokens), None, 0))

    async def close(self) -> None: ...


STEPS = [Step("1+1=2\n"), Step("2+3=6\n"), Step("####6")]


async def test_a_label_is_read_behind_every_step() -> None:
    reader = ByteReader(0.9, 0.2, 0.1, label_mass=0.5)
    scores = await LabelToken("prm", reader, TINY_PRM).score(ProblemView("p", "(1+1)+3"), STEPS)
    assert scores.steps == pytest.approx((0.9, 0.2, 0.1))
    assert reader.read == [
        "(1+1)+3\n1+1=2@",
        "(1+1)+3\n1+1=2@\n2+3=6@",
        "(1+1)+3\n1+1=2@\n2+3=6@\n####6@",
    ]
    assert [one.prompt_tokens for one in scores.passes] == [len(text) + 1 for text in reader.read]


async def test_steps_before_the_first_wanted_are_read_and_not_scored() -> None:
    reader = ByteReader(0.25)
    scores = await LabelToken("prm", reader, TINY_PRM).score(ProblemView("p", "(1+1)+3"), STEPS, first=2)
    assert scores.steps == (0.25,)
    assert reader.read == ["(1+1)+3\n1+1=2@\n2+3=6@\n####6@"]


async def test_a_tag_that_somebody_else_wrote_is_not_one() -> None:
    reader = ByteReader(0.5, 0.5)
    await LabelToken("prm", reader, TINY_PRM).score(ProblemView("p", "1@+1"), [Step("1@+1=2@\n"), Step("@")])
    assert reader.read == ["1+1\n1+1=2@", "1+1\n1+1=2@\n@"]


async def test_a_model_that_answers_with_neither_label_gives_no_score() -> None:
    with pytest.raises(QueryError, match="prm: the model answers with neither label"):
        await LabelToken("prm", ByteReader(0.5, label_mass=0.0), TINY_PRM).score(PROBLEM, STEPS[:1])
