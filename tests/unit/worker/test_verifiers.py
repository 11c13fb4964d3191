"""The verifiers that need no second model."""

from __future__ import annotations

import math

import pytest

from models.errors import UserError
from strategies.protocols import ProblemView, QueryError, Step
from worker.verifiers import VERIFIERS, make_verifier

PROBLEM = ProblemView("p", "2 + 2?", "4")


async def grade(text: str, reference: str) -> bool:
    return text.endswith(f"= {reference}")


@pytest.mark.parametrize("name", VERIFIERS)
def test_each_is_found_by_name_and_only_the_oracle_is_labelled(name: str) -> None:
    verifier = make_verifier(name, grade)
    assert (verifier.name, verifier.oracle) == (name, name == "exact")


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(UserError, match="--verifier: unknown verifier 'prm'; choose one of mean_logprob, exact"):
        make_verifier("prm", grade)


async def test_confidence_is_the_mean_probability_of_each_steps_tokens() -> None:
    scores = await make_verifier("mean_logprob", grade).score(PROBLEM, [Step("a", math.log(0.5)), Step("b", 0.0)])
    assert scores.steps == pytest.approx((0.5, 1.0))
    assert scores.prompt_tokens == 0
    rounded = await make_verifier("mean_logprob", grade).score(PROBLEM, [Step("a", 1e-9), Step("b", -math.inf)])
    assert rounded.steps == (1.0, 0.0)


async def test_a_missing_log_probability_is_not_a_low_score() -> None:
    with pytest.raises(QueryError, match="returned no log-probabilities"):
        await make_verifier("mean_logprob", grade).score(PROBLEM, [Step("a", -1.0), Step("b")])


async def test_the_oracle_reads_the_whole_solution_and_the_reference() -> None:
    exact = make_verifier("exact", grade)
    assert (await exact.score(PROBLEM, [Step("2 + 2 "), Step("= 4")])).steps == (1.0, 1.0)
    assert (await exact.score(PROBLEM, [Step("2 + 2 "), Step("= 5")])).steps == (0.0, 0.0)


async def test_the_oracle_cannot_score_without_a_reference() -> None:
    with pytest.raises(QueryError, match="no reference answer"):
        await make_verifier("exact", grade).score(ProblemView("p", "2 + 2?"), [Step("= 4")])
