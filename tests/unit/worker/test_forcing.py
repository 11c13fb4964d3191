"""Parts of a solution with something put into it: what the engine is asked to continue, and what each token costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from models import flops
from models.templates import load_template
from strategies.budget_forcing import CUT, END_OF_THINKING, ENDED, WAIT, BudgetForcing
from strategies.protocols import Completion, NextTokens, Prefix, ProblemView, QueryError, Sampling, TokenUsage
from strategies.task import Budget, Task
from tests.unit.strategies.scripted import Fractions
from tests.unit.worker.scripted import ARCHITECTURE, COSTS, make_meter
from tests.unit.worker.test_steps import Writer

TINY = load_template("tiny")
EOS = 3
LONG = Sampling(max_tokens=200)


class Thinker(Writer):
    """A writer, one token a character, that can be asked for the ids of a text; it ends with a token of its own."""

    async def generate(
        self, prefix: Prefix, *, n: int, stop: Sequence[str], max_tokens: int, sampling: Sampling, seeds: Sequence[int]
    ) -> list[Completion]:
        (made,) = await super().generate(prefix, n=n, stop=stop, max_tokens=max_tokens, sampling=sampling, seeds=seeds)
        if made.finish_reason == "length" or made.stop_string is not None:
            return [made]
        if made.usage.generated_tokens == max_tokens:  # no room is left for the token that ends it
            return [replace(made, finish_reason="length")]
        usage = TokenUsage(made.usage.prompt_tokens, None, made.usage.generated_tokens + 1)
        return [Completion(made.text, "stop", usage, (*(made.tokens or ()), EOS))]

    async def tokenize(self, text: str) -> tuple[int, ...]:
        return (2, *map(ord, text))

    async def next_logprobs(self, prefixes: Sequence[Sequence[int]], wanted: Sequence[int]) -> list[NextTokens]:
        raise AssertionError("nothing is scored")


def ids(text: str) -> tuple[int, ...]:
    return (1, 2, 3, *map(ord, text))


async def test_an_end_is_taken_back_and_the_model_goes_on_behind_wait() -> None:
    engine = Thinker("2+2=4.</think>", " 2+2=4!", "So ####4")
    meter, ledger = await make_meter(engine, Budget(1, "samples"), template=TINY, sampling=LONG)
    first = await meter.segment("t0", None, 50, until=END_OF_THINKING)
    second = await meter.segment("t0.1", first, 36, until=END_OF_THINKING, forced=WAIT)
    answer = await meter.segment("t0.2", second, None, forced=ENDED)
    assert [one.text for one in answer.lineage] == ["2+2=4.", "Wait 2+2=4!", f"{ENDED}So ####4"]
    assert [one.finish_reason for one in answer.lineage] == ["step", "step", "stop"]
    assert [prefix.tokens for prefix in engine.prefixes] == [
        ids(""),
        ids("2+2=4.Wait"),
        ids("2+2=4.Wait 2+2=4!</think>\n\n"),
    ]
    # Ends that were taken back were drawn: they are charged, and so is reading what was put in their place.
    assert [one.usage.generated_tokens for one in answer.lineage] == [14, 8, 9]
    (row,) = ledger.rows()
    assert (row["samples"], row["calls"]) == (1, 3)
    assert row["canonical_prompt_tokens"] == 3 + len(WAIT) + len(ENDED)
    assert row["generated_tokens"] == 14 + 8 + 9
    assert ledger.spent("tokens") == 3 + len(WAIT) + len(ENDED) + 14 + 8 + 9
    read = [(3, 3, 14), (13, 1 + len(WAIT), 8), (30, 1 + len(ENDED), 9)]
    assert row["flops_canonical"] == sum(
        flops.forward_flops(ARCHITECTURE, new, prompt - new, 0) + flops.decode_flops(ARCHITECTURE, prompt, drawn)
        for prompt, new, drawn in read
    )


async def test_thinking_that_is_cut_keeps_all_its_tokens() -> None:
    engine = Thinker("a" * 99, "####4")
    meter, _ = await make_meter(engine, Budget(1, "samples"), template=TINY, sampling=LONG)
    first = await meter.segment("t0", None, 9, until=END_OF_THINKING)
    await meter.segment("t0.1", first, None, forced=CUT)
    assert engine.prefixes[1].tokens == ids("a" * 9 + CUT)


async def test_a_tag_in_tokens_of_its_own_spelling_is_taken_out_of_the_text() -> None:
    """The ids do not end with those of the tag: what is left is read anew."""

    class Merging(Thinker):
        async def tokenize(self, text: str) -> tuple[int, ...]:
            return (2, *map(ord, text.replace("</think>", "\N{WHITE SQUARE}")))

    engine = Merging("so</think>", "x")
    meter, _ = await make_meter(engine, Budget(1, "samples"), template=TINY, sampling=LONG)
    thought = await meter.segment("t0", None, 50, until=END_OF_THINKING)
    assert thought.tokens == tuple(map(ord, "so"))


async def test_what_is_put_in_takes_room_from_the_solution() -> None:
    engine = Thinker("a" * 99, "b" * 99)
    meter, _ = await make_meter(engine, Budget(2, "samples"), template=TINY)  # of at most 20 tokens each
    first = await meter.segment("t0", None, 9, until=END_OF_THINKING)
    answer = await meter.segment("t0.1", first, None, forced="12345")
    assert engine.asked == [9, 20 - 9 - 5]
    assert answer.finish_reason == "length"


async def test_an_engine_that_tells_no_ids_is_a_sentence() -> None:
    meter, _ = await make_meter(Writer("x</think>"), Budget(1, "samples"), template=TINY, sampling=LONG)
    with pytest.raises(
        QueryError, match="scripted: this engine gives no ids of a text to be put in; use llamacpp, vllm, or a server"
    ):
        await meter.segment("t0", None, 9, until=END_OF_THINKING)


@given(
    texts=some.lists(some.sampled_from(["a</think>", "b" * 40, "c" * 9, "####4", "</think>"]), min_size=1),
    unit=some.sampled_from(["tokens", "flops", "usd"]),
    share=some.floats(0.05, 3),
)
async def test_a_budget_holds_what_is_forced(
    texts: list[str], unit: Literal["tokens", "flops", "usd"], share: float
) -> None:
    engine = Thinker(*(texts[call % len(texts)] for call in range(99)))
    amount = share * COSTS.amount(unit, 3, 80, first=True)
    budget = Budget(float(round(amount) or 1) if unit == "tokens" else amount, unit)
    meter, ledger = await make_meter(engine, budget, template=TINY, sampling=Sampling(max_tokens=80))
    task = Task(ProblemView("p", "?"), meter, None, Fractions(), budget, 3, width=meter.width())
    solution = await BudgetForcing(minimum=12, maximum=20, waits=2).solve(task)
    assert ledger.spent(unit) <= budget.amount * (1 + 1e-12)
    assert sum(row["calls"] for row in ledger.rows()) == len(solution.candidates) == len(meter.finished)
    for ended in solution.candidates:
        if ended.finish_reason == "stop":
            assert sum(one.usage.generated_tokens for one in ended.lineage[:-1]) <= 20
