"""Revisions through the meter: what the engine is shown, what reading it costs, and what a query may spend on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Literal

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as some

from models import flops
from models.specification import template_from_dict, template_to_dict
from models.templates import DOUBT, REVISE, load_template
from strategies.protocols import Completion, Message, Prefix, ProblemView, Sampling, TokenUsage, TransientError
from strategies.sequential_revision import SequentialRevision, path_of
from strategies.task import Budget, Candidate, Task
from tests.unit.strategies.scripted import Fractions
from tests.unit.worker.attempts import made, work
from tests.unit.worker.scripted import ARCHITECTURE, COSTS, SAMPLING, ScriptedEngine, make_meter
from worker.grading import GradingPool
from worker.ledger import Ledger
from worker.meter import SharedEngine, most_tokens
from worker.solver import Attempt, longest_chain
from worker.verifiers import Verifiers

PROBLEM = [Message("user", "2 + 2?")]


class Chat(ScriptedEngine):
    """One token a character and two around each turn; writes answers of the given lengths, one after the other."""

    def __init__(self, *lengths: int, tells: bool = True, context: int = 4096) -> None:
        super().__init__(lambda call: (lengths[call % len(lengths)], 1, "= 4"), tells=tells)
        self.lengths = lengths
        self.context_length = context
        self.shown: list[list[Message]] = []
        self.read: list[int] = []

    async def encode(self, messages: Sequence[Message]) -> Prefix:
        self.shown.append(list(messages))
        count = sum(len(message.content) + 2 for message in messages)
        return Prefix(tokens=(1,) * count) if self.tells else Prefix(messages=tuple(messages))

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
        length = self.lengths[len(self.asked) % len(self.lengths)]
        prompt = sum(len(message.content) + 2 for message in prefix.messages or ()) or prefix.token_count or 0
        self.read.append(prompt)
        (done,) = await super().generate(prefix, n=n, stop=stop, max_tokens=max_tokens, sampling=sampling, seeds=seeds)
        text = "= 4".rjust(length)[:max_tokens]
        return [replace(done, text=text, usage=replace(done.usage, prompt_tokens=prompt, cached_tokens=0))]


def attempt(text: str, path: str = "0", generated: int | None = None) -> Candidate:
    return Candidate(path, text, "stop", TokenUsage(8, 0, len(text) if generated is None else generated))


# --- what is shown ----------------------------------------------------------------------------------------------------


async def test_attempts_are_earlier_turns_each_answered_by_the_wish_for_another() -> None:
    engine = Chat(5)
    meter, _ = await make_meter(engine, Budget(4, "samples"), template=load_template("math-boxed"))
    revision = await meter.sample("r0.2", attempts=[attempt("= 3"), attempt("= 5", "r0.1")])
    again = Message("user", REVISE)
    assert engine.shown[-1] == [*PROBLEM, Message("assistant", "= 3"), again, Message("assistant", "= 5"), again]
    assert revision.parent is None
    assert revision.usage.prompt_tokens == sum(len(turn.content) + 2 for turn in engine.shown[-1])


async def test_where_the_chat_template_asks_by_itself_the_turn_says_nothing() -> None:
    engine = Chat(5)
    meter, _ = await make_meter(engine, Budget(4, "samples"), template=load_template("tiny"))
    await meter.sample("r0.1", attempts=[attempt("####3")])
    assert engine.shown[-1] == [*PROBLEM, Message("assistant", "####3"), Message("user", "")]


async def test_feedback_names_the_step_scored_lowest() -> None:
    engine = Chat(5)
    template = load_template("plain")
    meter, _ = await make_meter(engine, Budget(4, "samples"), template=template)
    one, two, unscored = attempt("a\nb\nc"), attempt("d\ne\n", "r0.1"), attempt("f", "r0.2")
    one.step_scores, two.step_scores = (0.9, 0.2, 0.2), (None, 0.5)
    await meter.sample("r0.3", attempts=[one, two, unscored], feedback=True)
    said = [turn.content for turn in engine.shown[-1] if turn.role == "user"]
    assert said[1:] == [f"{REVISE}\n{DOUBT}b", f"{REVISE}\n{DOUBT}e", REVISE]
    await meter.sample("r0.3", attempts=[one], feedback=False)
    assert engine.shown[-1][-1] == Message("user", REVISE)


async def test_without_attempts_it_is_the_problem_alone() -> None:
    engine = Chat(5)
    meter, _ = await make_meter(engine, Budget(4, "samples"))
    await meter.sample("0")
    assert engine.shown == [PROBLEM]


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize(("context", "kept"), [(200, 3), (73, 3), (72, 2), (58, 2), (57, 1), (43, 1), (42, 0), (30, 0)])
async def test_the_oldest_are_left_out_where_they_leave_no_room(context: int, kept: int, tells: bool) -> None:
    """8 tokens of prompt, three attempts of 10 with 5 around them, and room for twice 10, or what a solution may have."""
    engine = Chat(5, tells=tells, context=context)
    template = replace(load_template("plain"), revise="!")
    meter, _ = await make_meter(engine, Budget(9, "samples"), template=template, sampling=Sampling(max_tokens=22))
    await meter.sample("0")
    shown = [attempt(f"attempt {number}.", path_of(0, number), 15 if not tells else 10) for number in range(3)]
    if not tells:
        engine.context_length += 2  # their tokens are all that is known, 15 each: room for 22
    await meter.sample("r0.3", attempts=shown)
    texts = [turn.content for turn in (engine.shown[-1] if kept else []) if turn.role == "assistant"]
    assert texts == [one.text for one in shown[3 - kept :]]
    assert engine.read[-1] == 8 + 15 * kept


# --- what it costs ----------------------------------------------------------------------------------------------------


async def test_the_prompt_is_read_once_and_attempts_by_every_revision_that_sees_them() -> None:
    engine = Chat(10, 12, 14)
    meter, ledger = await make_meter(engine, Budget(9, "samples"), template=load_template("tiny"))
    chain: list[Candidate] = []
    for position in range(3):
        chain.append(await meter.sample(path_of(0, position), attempts=list(chain)))
    behind = [0, 10 + 4, 10 + 12 + 8]
    assert engine.read == [8 + one for one in behind]
    (row,) = ledger.rows()
    assert (row["prompt_tokens"], row["canonical_prompt_tokens"]) == (sum(engine.read), 8 + sum(behind))
    assert row["generated_tokens"] == 36
    expected = flops.prefill_flops(ARCHITECTURE, 8)
    for length, read in zip((10, 12, 14), behind, strict=True):
        expected += flops.forward_flops(ARCHITECTURE, read, 8, 0) + flops.decode_flops(ARCHITECTURE, 8 + read, length)
    assert row["flops_canonical"] == pytest.approx(expected)
    assert row["flops_2nd"] == flops.flops_2nd(ARCHITECTURE, 8 + sum(behind) + 36)
    assert ledger.spent("tokens") == 8 + sum(behind) + 36


CALLS = some.lists(some.tuples(some.integers(0, 40), some.integers(1, 20)), min_size=1, max_size=6)


@given(CALLS, some.sampled_from(["tokens", "flops", "usd"]))
def test_a_resumed_query_counts_its_revisions_as_they_were_booked(calls: list[tuple[int, int]], unit: str) -> None:
    before, after = Ledger(COSTS), Ledger(COSTS, prompt_charged=True)
    attempts = [
        Candidate(path_of(0, position), "", "stop", TokenUsage(8 + (behind if position else 0), 0, generated))
        for position, (behind, generated) in enumerate(calls)
    ]
    for one in attempts:
        price = before.price_of(one, unit)
        spent = before.spent(unit)
        before.completion(one)
        assert before.spent(unit) == pytest.approx(spent + price)
        after.carry(one)
    assert after.spent(unit) == pytest.approx(before.spent(unit))
    assert after.rows() == []


def test_a_verifier_reads_the_problem_and_the_revision_alone() -> None:
    ledger = Ledger(replace(COSTS, verifier=replace(COSTS, model="prm")))
    held = []
    for path, prompt in (("0", 8), ("r0.1", 30)):
        ledger.completion(Candidate(path, "", "stop", TokenUsage(prompt, 0, 12)))
        held.append(ledger.spent("tokens"))
    # 8 + 12 and its scoring; then 22 of an attempt, 12 and as much scoring again.
    assert held[1] - held[0] == held[0] - 8 + 22


@settings(max_examples=150)
@given(
    lengths=some.lists(some.integers(1, 25), min_size=1, max_size=16),
    unit=some.sampled_from(["tokens", "flops", "usd"]),
    share=some.floats(0.01, 10),
    tells=some.booleans(),
    scored=some.booleans(),
)
async def test_a_budget_holds_what_revisions_read(
    lengths: list[int], unit: Literal["tokens", "flops", "usd"], share: float, tells: bool, scored: bool
) -> None:
    engine = Chat(*lengths, tells=tells)
    costs = replace(COSTS, verifier=replace(COSTS, model="prm")) if scored else COSTS
    amount = share * costs.amount(unit, 8, 20, first=True)
    budget = Budget(float(round(amount) or 1) if unit == "tokens" else amount, unit)
    template = replace(load_template("plain"), revise="again")
    meter, ledger = await make_meter(engine, budget, ledger=Ledger(costs), costs=costs, template=template)
    task = Task(ProblemView("p", "2 + 2?"), meter, None, Fractions(), budget, 3, width=meter.width())
    solution = await SequentialRevision(chains=3, length=4).solve(task)
    assert ledger.spent(unit) <= budget.amount * (1 + 1e-12)
    assert len(solution.candidates) == 12 or solution.stopped == "budget"
    assert meter._allowance._reserved == pytest.approx(0, abs=1e-9)
    kept = [row for row in ledger.rows() if row["phase"] == "generate"]
    assert sum(row["prompt_tokens"] for row in kept) == sum(engine.read)


async def test_a_chat_servers_attempts_are_bounded_by_their_bytes() -> None:
    """The first sample tells the prompt's length; an attempt's, as the server counts it, nobody knows."""
    engine = Chat(10, tells=False)
    template = replace(load_template("plain"), revise="again")
    prompt = most_tokens(PROBLEM)
    meter, ledger = await make_meter(engine, Budget(prompt + 40, "tokens"), template=template)
    first = await meter.sample("0")
    left = prompt + 40 - 8 - 10
    bound = len(first.text) + len("again") + 2 * 16
    await meter.sample("r0.1", attempts=[first])
    assert engine.asked[1] == min(left - bound, SAMPLING.max_tokens)
    assert ledger.spent("tokens") == 8 + 10 + (10 + 2 + 5 + 2) + 10


async def test_a_revision_that_is_given_up_was_a_sample_begun() -> None:
    engine = Chat(10)
    meter, ledger = await make_meter(engine, Budget(9, "samples"))
    first = await meter.sample("0")
    engine.reply = lambda call: TransientError("busy")
    with pytest.raises(TransientError):
        await meter.sample("r0.1", attempts=[first])
    assert [(row["disposition"], row["samples"]) for row in ledger.rows()] == [("kept", 1), ("wasted", 1)]


async def test_the_width_does_not_shrink_with_what_is_spent() -> None:
    """Or a query that goes on would have fewer chains than it began with."""
    meter, _ = await make_meter(Chat(20), Budget(8 + 5 * 20, "tokens"))
    assert meter.width() == 5
    await meter.sample("0")
    assert meter.width() == 5


# --- whole attempts ---------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[GradingPool]:
    pool = GradingPool()
    yield pool
    await asyncio.to_thread(pool.close)


async def test_a_query_of_revisions_waits_for_its_longest_chain(pool: GradingPool) -> None:
    engine = Chat(10, 20, 5)
    job = work("sequential_revision", (6, "samples"), parameters={"chains": 2, "length": 3})
    outcome = await Attempt(job, SharedEngine.around(engine), COSTS, pool, Verifiers()).run(5)
    assert sorted(row["path"] for row in outcome.candidates) == ["0", "1", "r0.1", "r0.2", "r1.1", "r1.2"]
    assert all(row["parent"] is None for row in outcome.candidates)
    by_path = {row["path"]: row["generated_tokens"] for row in outcome.candidates}
    chains = [sum(by_path[path_of(chain, position)] for position in range(3)) for chain in range(2)]
    assert outcome.sequential_tokens == max(chains)


async def test_a_resumed_query_goes_on_from_its_own_revisions(pool: GradingPool) -> None:
    own = [made("0", "4"), made("r0.1", "4"), made("1", "5")]
    engine = Chat(10)
    job = work("sequential_revision", (8, "samples"), candidates=own, own=["0", "r0.1", "1"])
    attempt = Attempt(job, SharedEngine.around(engine), COSTS, pool, Verifiers())
    outcome = await attempt.run(5)
    assert len(engine.asked) == 5
    assert len(outcome.candidates) == 8


async def test_samples_of_other_jobs_begin_its_chains_and_no_more_are_taken(pool: GradingPool) -> None:
    reusable = [made(str(path), "4", reused_from=70 + path) for path in range(8)]
    engine = Chat(10)
    job = work("sequential_revision", (8, "samples"), candidates=reusable)
    outcome = await Attempt(job, SharedEngine.around(engine), COSTS, pool, Verifiers()).run(5)
    taken = {row["path"] for row in outcome.candidates if row["reused_from"] is not None}
    assert taken == {"0", "1"}
    assert len(engine.asked) == 6


def test_chains_are_told_by_their_paths() -> None:
    def node(path: str, tokens: int) -> Candidate:
        return Candidate(path, "", "stop", TokenUsage(1, 0, tokens))

    chain = [node("0", 10), node("r0.1", 5), node("1", 12), node("r1.1", 4), node("s0", 3), node("greedy", 14)]
    assert longest_chain(chain) == 16
    assert longest_chain(chain[:1]) == 10


def test_a_template_stored_before_there_were_revisions_has_the_common_wish() -> None:
    fields = template_to_dict(load_template("plain"))
    del fields["revise"]
    assert template_from_dict(fields).revise == REVISE
