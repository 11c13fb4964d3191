"""Steps through the meters: what the engine is asked to continue, what is scored of it, and what a search may spend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from models.templates import Template, load_template
from strategies.protocols import (
    Budget,
    BudgetExhausted,
    Candidate,
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
from tests.unit.worker.scripted import COSTS, ScriptedEngine, make_meter
from worker.busy import BusyClock
from worker.ledger import Ledger
from worker.scoring import ScoringMeter

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
    with pytest.raises(QueryError, match="a search continues token ids, which this engine does not take; use llamacpp"):
        await meter.step("s0", None)


async def test_the_width_of_a_search_is_what_the_budget_holds() -> None:
    for budget, width in ((Budget(6, "samples"), 6), (Budget(7 + 3 * 20 + 5, "tokens"), 3), (Budget(8, "tokens"), 1)):
        meter, _ = await make_meter(ScriptedEngine(lambda call: (0, 0, "")), budget)
        assert meter.width() == width


class Listener:
    """A verifier that remembers what it read."""

    name, oracle = "listener", False

    def __init__(self) -> None:
        self.read: list[tuple[Step, ...]] = []

    async def score(self, problem: ProblemView, steps: Sequence[Step], *, first: int = 0) -> Scores:
        self.read.append(tuple(steps))
        return Scores((0.25,) * len(steps))


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


async def test_a_header_that_ends_a_step_is_the_next_ones() -> None:
    meter, listener = listening(HEADED)
    await meter.score(node(" 2: 12+1=13\n## Step", node("## Step 1: 3*4=12\n## Step")))
    assert [step.text for step in listener.read[0]] == ["## Step 1: 3*4=12\n", "## Step 2: 12+1=13\n"]


async def test_an_oracle_of_answers_is_not_asked_for_steps() -> None:
    meter, listener = listening(LINES)
    listener.oracle = True
    with pytest.raises(QueryError, match="listener judges answers, not steps"):
        await meter.score(node("3*4=12\n"))
