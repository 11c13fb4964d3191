"""Steps through the meters: what the engine is asked to continue, what is scored of it, and what a search may spend."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from models.templates import Template, load_template
from strategies.protocols import (
    BudgetExhausted,
    Completion,
    Message,
    Prefix,
    ProblemView,
    QueryError,
    Sampling,
    Scores,
    Step,
    TokenUsage,
)
from strategies.task import Budget, Candidate
from tests.unit.worker.scripted import COSTS, ScriptedEngine, make_meter
from worker.busy import BusyClock
from worker.ledger import Ledger
from worker.scoring import ScoringMeter
from worker.verifiers.mean_logprob import MeanLogprob

LINES = load_template("tiny")
HEADED = replace(LINES, step_separator="## Step")


class Writer(ScriptedEngine):
    """Writes `texts` one after the other, one token a character, up to the first stop string."""

    def __init__(self, *texts: str, tells: bool = True) -> None:
        super().__init__(lambda call: (0, 0, ""), tells=tells)
        self.texts = list(texts)
        self.prefixes: list[Prefix] = []

    async def encode(self, messages: Sequence[Message]) -> Prefix:
        return Prefix(tokens=(1, 2, 3)) if self.tells else Prefix(messages=tuple(messages))

    async def generate(
        self,
        prefix: Prefix,
        *,
        n: int,
        stop: Sequence[str],
        max_tokens: int,
        sampling: Sampling,
        seeds: Sequence[int],
    ) -> list[Completion]:
        self.prefixes.append(prefix)
        self.asked.append(max_tokens)
        text = self.texts[len(self.asked) - 1]
        found = [(text.index(one), one) for one in stop if one in text]
        place, string = min(found, default=(len(text), None))
        written = text[: place + len(string or "")]
        cut = len(written) > max_tokens
        tokens = tuple(map(ord, written[:max_tokens]))
        usage = TokenUsage(len(prefix.tokens or ()), None, len(tokens))
        return [
            Completion(
                text=text[: min(place, max_tokens)],
                finish_reason="length" if cut else "stop",
                usage=usage,
                tokens=tokens,
                stop_string=None if cut else string,
                logprobs=(-0.5,) * len(tokens),
                token_ends=tuple(range(1, len(tokens) + 1)),
            )
        ]


async def test_a_step_continues_the_ids_of_those_before_it() -> None:
    engine = Writer("3*4=12\n1+1", "2+1=3\n", "####3")
    meter, _ = await make_meter(engine, Budget(4, "samples"), template=LINES)
    first = await meter.step("s0", None)
    second = await meter.step("s0.1", first)
    last = await meter.step("s0.1.0", second)
    assert [one.text for one in (first, second, last)] == ["3*4=12\n", "2+1=3\n", "####3"]
    assert [one.finish_reason for one in (first, second, last)] == ["step", "step", "stop"]
    assert [prefix.tokens for prefix in engine.prefixes] == [
        (1, 2, 3),
        (1, 2, 3, *map(ord, "3*4=12\n")),
        (1, 2, 3, *map(ord, "3*4=12\n2+1=3\n")),
    ]
    assert last.solution == "3*4=12\n2+1=3\n####3"
    assert last.step_logprobs == (-0.5,)


async def test_a_step_may_be_as_long_as_its_solution_still_may() -> None:
    engine = Writer("a" * 11 + "\n", "b" * 30, "c\n")
    meter, ledger = await make_meter(engine, Budget(2, "samples"), template=LINES)  # of at most 20 tokens each
    first = await meter.step("s0", None)
    cut = await meter.step("s0.0", first)
    assert engine.asked == [20, 8]
    assert (cut.finish_reason, cut.tokens) == ("length", None)
    assert ledger.generated() == 20


async def test_a_step_that_ends_where_its_solution_must_does_not_go_on() -> None:
    engine = Writer("a" * 11 + "\n", "b" * 7 + "\n")
    meter, _ = await make_meter(engine, Budget(2, "samples"), template=LINES)
    last = await meter.step("s0.0", await meter.step("s0", None))
    assert (last.solution, last.finish_reason, last.tokens) == ("a" * 11 + "\n" + "b" * 7 + "\n", "length", None)


async def test_a_search_of_n_samples_writes_no_more_than_n_solutions_could() -> None:
    engine = Writer(*["a" * 11 + "\n"] * 9)
    meter, ledger = await make_meter(engine, Budget(2, "samples"), template=LINES)
    steps = [await meter.step(f"s{index}", None) for index in range(4)]
    assert [one.finish_reason for one in steps] == ["step", "step", "step", "clipped"]
    assert (engine.asked, ledger.generated()) == ([20, 20, 16, 4], 40)
    with pytest.raises(BudgetExhausted):
        await meter.step("s4", None)


async def test_an_engine_without_token_ids_is_a_sentence() -> None:
    meter, _ = await make_meter(Writer("x", tells=False), Budget(2, "samples"), template=LINES)
    with pytest.raises(
        QueryError, match="this strategy continues token ids, which this engine does not take; use llamacpp"
    ):
        await meter.step("s0", None)


async def test_the_width_of_a_search_is_what_the_budget_holds() -> None:
    for budget, width in ((Budget(6, "samples"), 6), (Budget(7 + 3 * 20 + 5, "tokens"), 3), (Budget(8, "tokens"), 1)):
        meter, _ = await make_meter(ScriptedEngine(lambda call: (0, 0, "")), budget)
        assert meter.width() == width


async def test_a_segment_ends_after_its_tokens_wherever_that_is() -> None:
    engine = Writer("3*4=12\n1+1", "1+1=2\n####2", "never")
    meter, ledger = await make_meter(engine, Budget(4, "samples"), template=LINES)
    first = await meter.segment("f0", None, 8)
    second = await meter.segment("f0.1", first, 12)
    assert [(one.text, one.finish_reason) for one in (first, second)] == [
        ("3*4=12\n1", "step"),
        ("1+1=2\n####2", "stop"),
    ]
    assert engine.asked == [8, 12]
    assert [prefix.tokens for prefix in engine.prefixes] == [(1, 2, 3), (1, 2, 3, *map(ord, "3*4=12\n1"))]
    assert second.solution == "3*4=12\n11+1=2\n####2"
    assert ledger.generated() == 19


async def test_segments_together_are_no_longer_than_a_solution() -> None:
    engine = Writer("a" * 99, "a" * 99, "a" * 99)
    meter, _ = await make_meter(engine, Budget(2, "samples"), template=LINES)  # of at most 20 tokens each
    first = await meter.segment("f0", None, 15)
    last = await meter.segment("f0.1", first, 15)
    assert engine.asked == [15, 5]
    assert [(one.finish_reason, one.tokens is None) for one in (first, last)] == [("step", False), ("length", True)]
    whole = await meter.segment("f1", None, 20)
    assert (whole.finish_reason, whole.usage.generated_tokens) == ("length", 20)


async def test_a_segment_that_the_budget_cuts_is_clipped() -> None:
    engine = Writer("a" * 99, "a" * 99)
    meter, _ = await make_meter(engine, Budget(3 + 8 + 5, "tokens"), template=LINES)
    first = await meter.segment("f0", None, 8)
    last = await meter.segment("f0.1", first, 8)
    assert (first.finish_reason, last.finish_reason, engine.asked) == ("step", "clipped", [8, 5])


@pytest.mark.parametrize(("context", "finish"), [(12, "step"), (11, "length")])
async def test_nothing_goes_on_where_the_context_ends(context: int, finish: str) -> None:
    """3 tokens of prompt and 8 written: with 11 there is no room for the next, and asking for it would fail the query."""
    engine = Writer("a" * 99, "aaaaaaa\nb")
    engine.context_length = context
    meter, _ = await make_meter(engine, Budget(4, "samples"), template=LINES)
    ends = [await meter.segment("f0", None, 8), await meter.step("s0", None)]
    assert [(one.finish_reason, one.tokens is not None) for one in ends] == [(finish, finish == "step")] * 2


@given(some.sampled_from(["tokens", "flops", "usd"]), some.floats(0.05, 3), some.integers(1, 9), some.booleans())
async def test_a_budget_holds_what_is_continued(
    unit: Literal["tokens", "flops", "usd"], share: float, length: int, by_segments: bool
) -> None:
    """To the last token: each of them feeds one that the one before left out."""
    engine = Writer(*["a" * 99 if by_segments else "a" * (length - 1) + "\n"] * 30)
    amount = share * COSTS.amount(unit, 3, 20, first=True)
    budget = Budget(float(round(amount) or 1) if unit == "tokens" else amount, unit)
    meter, ledger = await make_meter(engine, budget, template=LINES)
    last: Candidate | None = None
    with contextlib.suppress(BudgetExhausted):
        while last is None or last.finish_reason == "step":
            path = "0.0"
            last = await (meter.segment(path, last, length) if by_segments else meter.step(path, last))
    assert ledger.spent(unit) <= budget.amount * (1 + 1e-12)


class Listener:
    """A verifier that remembers what it read."""

    name, oracle = "listener", False

    def __init__(self) -> None:
        self.read: list[tuple[Step, ...]] = []

    async def score(self, problem: ProblemView, steps: Sequence[Step], *, first: int = 0) -> Scores:
        self.read.append(tuple(steps))
        return Scores((0.25,) * len(steps[first:]))


def listening(template: Template) -> tuple[ScoringMeter, Listener]:
    listener = Listener()
    ledger = Ledger(COSTS)
    return ScoringMeter(listener, ledger, ProblemView("p", "?"), template, BusyClock()), listener


def node(text: str, parent: Candidate | None = None, finish: str = "step") -> Candidate:
    usage = TokenUsage(3, 0, len(text))
    return Candidate("s", text, finish, usage, parent=parent, step_logprobs=(-0.5,))  # type: ignore[arg-type]


async def test_a_verifier_reads_a_solution_from_its_first_step_on() -> None:
    meter, listener = listening(LINES)
    await meter.score(node("12+1=13\n", node("3*4=12\n")))
    assert listener.read == [(Step("3*4=12\n", None), Step("12+1=13\n", -0.5))]


async def test_the_generators_own_confidence_scores_the_newest_step_of_a_branch() -> None:
    """Of the steps before it the log-probabilities are not at hand, which is no reason to score none."""
    meter = ScoringMeter(MeanLogprob(), Ledger(COSTS), ProblemView("p", "?"), LINES, BusyClock())
    leaf = node("12+1=13\n", node("3*4=12\n"))
    assert await meter.score(leaf, last_only=True) == pytest.approx((math.exp(-0.5),))
    assert leaf.step_scores == (None, pytest.approx(math.exp(-0.5)))


async def test_what_costs_nothing_is_asked_of_every_step_of_a_whole_solution() -> None:
    meter, listener = listening(LINES)
    assert await meter.score(node("3*4=12\n12+1=13", finish="stop"), last_only=True) == (0.25, 0.25)
    assert await meter.score(node("12+1=13", node("3*4=12\n"), "stop"), last_only=True) == (0.25,)
    assert [len(read) for read in listener.read] == [2, 2]


async def test_a_header_that_ends_a_step_is_the_next_ones() -> None:
    meter, listener = listening(HEADED)
    await meter.score(node(" 2: 12+1=13\n## Step", node("## Step 1: 3*4=12\n## Step")))
    assert [step.text for step in listener.read[0]] == ["## Step 1: 3*4=12\n", "## Step 2: 12+1=13\n"]


async def test_an_oracle_of_answers_is_not_asked_for_steps() -> None:
    meter, listener = listening(LINES)
    listener.oracle = True
    with pytest.raises(QueryError, match="listener judges answers, not steps"):
        await meter.score(node("3*4=12\n"))
