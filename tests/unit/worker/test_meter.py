"""The budget holds whatever the model writes, and everything that was sent to the engine is booked."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from models.costs import CostModel
from models.settings import Price
from strategies.majority_vote import MajorityVote
from strategies.protocols import Answers, BudgetExhausted, EngineDied, Message, ProblemView, QueryError, TransientError
from strategies.task import Budget, Candidate, Task
from tests.unit.strategies.scripted import Fractions
from tests.unit.worker.scripted import ARCHITECTURE, COSTS, Reply, ScriptedEngine, make_meter, says
from worker.ledger import Ledger
from worker.meter import Meter, SharedEngine, most_tokens

HOURLY = CostModel("scripted", ARCHITECTURE, Price(gpu_hour=3600.0), flops_per_second=1e6)


def task_of(meter: Meter, budget: Budget, answers: Answers | None = None) -> Task:
    return Task(ProblemView("p", "2 + 2?"), meter, None, answers or Fractions(), budget, 3)


async def drain(meter: Meter, paths: int) -> tuple[list[Candidate], int]:
    """What `paths` concurrent calls give, failures put aside, and how many found the budget exhausted."""
    results = await asyncio.gather(*(meter.sample(str(path)) for path in range(paths)), return_exceptions=True)
    made = [result for result in results if isinstance(result, Candidate)]
    return made, sum(isinstance(result, BudgetExhausted) for result in results)


# --- budgets ----------------------------------------------------------------------------------------------------------

UNITS = some.sampled_from(["tokens", "flops", "usd"])
FAILURES: list[Reply] = [TransientError("busy"), QueryError("refused")]
REPLIES = some.lists(
    some.one_of(some.tuples(some.integers(1, 30), some.integers(0, 6), some.just("= 4")), some.sampled_from(FAILURES)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=300)
@given(
    replies=REPLIES,
    unit=UNITS,
    share=some.floats(0.01, 6),
    prompt=some.integers(1, 40),
    cached=some.sampled_from([0, 1, None]),
    tells=some.booleans(),
    charged=some.booleans(),
    capacity=some.integers(1, 8),
    cancel=some.lists(some.tuples(some.integers(0, 11), some.integers(0, 12)), max_size=4),
)
async def test_a_budget_is_never_exceeded(
    replies: list[Reply],
    unit: Literal["tokens", "flops", "usd"],
    share: float,
    prompt: int,
    cached: int | None,
    tells: bool,
    charged: bool,
    capacity: int,
    cancel: list[tuple[int, int]],
) -> None:
    engine = ScriptedEngine(lambda call: replies[call % len(replies)], prompt=prompt, cached=cached, tells=tells)
    engine.capacity = capacity
    amount = share * COSTS.amount(unit, prompt, 20, first=True)
    budget = Budget(float(round(amount) or 1) if unit == "tokens" else amount, unit)
    meter, ledger = await make_meter(engine, budget, ledger=Ledger(COSTS, prompt_charged=charged))
    calls = [asyncio.ensure_future(meter.sample(str(path))) for path in range(12)]
    for turn in range(13):
        for which, when in cancel:
            if when == turn:
                calls[which].cancel()
        await asyncio.sleep(0)
    results = await asyncio.gather(*calls, return_exceptions=True)

    # Floats: dollars are added up in another order than they were held back.
    slack = 1e-12 * amount if unit == "usd" else 0.0
    assert ledger.spent(unit) <= budget.amount + slack
    made = [result for result in results if isinstance(result, Candidate)]
    kept = [row for row in ledger.rows() if row["disposition"] == "kept"]
    assert sum(row["generated_tokens"] for row in kept) == sum(one.usage.generated_tokens for one in made)
    assert sum(row["prompt_tokens"] for row in kept) == prompt * len(made)
    assert sum(row["canonical_prompt_tokens"] for row in kept) == (0 if charged or not made else prompt)
    assert sum(row["calls"] for row in ledger.rows()) == len(engine.asked)
    assert meter.finished == sorted(made, key=meter.finished.index)
    assert all(one.finish_reason in ("stop", "clipped") for one in made if one.usage.generated_tokens < 20)
    # Nothing is held back any more: what is left can be spent to the last token.
    assert meter._allowance._in_flight == 0
    assert meter._allowance._reserved == pytest.approx(0, abs=1e-9)
    assert engine.running == 0
    assert not engine_is_busy(meter)


def engine_is_busy(meter: Meter) -> bool:
    clock = meter._engine.clock
    return bool(clock._weights) or meter.in_flight()[0] > 0


@settings(max_examples=60)
@given(some.lists(some.integers(1, 30), min_size=1, max_size=12), some.integers(1, 400), UNITS)
async def test_a_vote_under_a_budget_ends_with_the_best_so_far(lengths: list[int], tokens: int, unit: Any) -> None:
    engine = ScriptedEngine(lambda call: (lengths[call % len(lengths)], 1, "= 4"))
    amount = COSTS.amount(unit, 7, tokens, first=True)
    budget = Budget(amount, unit)
    meter, ledger = await make_meter(engine, budget)
    solution = await MajorityVote().solve(task_of(meter, budget))
    assert solution.stopped == "budget" or len(solution.candidates) == 256
    assert solution.answer == ("4" if any(one.finish_reason == "stop" for one in solution.candidates) else None)
    assert ledger.spent(unit) <= amount * (1 + 1e-12)
    # Not one more token would have fitted, or every sample was drawn.
    again = await asyncio.gather(meter.sample("more"), return_exceptions=True)
    assert len(solution.candidates) == 256 or isinstance(again[0], BudgetExhausted) or unit == "usd"


async def test_calls_that_do_not_fit_wait_for_refunds() -> None:
    # 7 for the prompt and 2 x 20 held; each call uses 5, and what it gives back lets the next one in.
    engine = ScriptedEngine(says(5, turns=3))
    meter, ledger = await make_meter(engine, Budget(47, "tokens"))
    made, exhausted = await drain(meter, 20)
    assert engine.most_running == 2
    assert ledger.spent("tokens") == 47  # 7 + 8 x 5: to the last token
    assert (len(made), exhausted) == (8, 12)
    assert engine.asked[:2] == [20, 20]
    assert [one.finish_reason for one in made] == ["stop"] * 8


async def test_the_last_call_is_clipped_and_says_so() -> None:
    engine = ScriptedEngine(says(15))
    meter, ledger = await make_meter(engine, Budget(7 + 15 + 15 + 4, "tokens"))
    made, exhausted = await drain(meter, 4)
    assert engine.asked == [20, 19, 4]
    assert [(one.finish_reason, one.usage.generated_tokens) for one in made] == [
        ("stop", 15),
        ("stop", 15),
        ("clipped", 4),
    ]
    assert (ledger.spent("tokens"), exhausted) == (41, 1)


async def test_cut_by_the_jobs_own_limit_is_not_clipped() -> None:
    meter, _ = await make_meter(ScriptedEngine(says(25)), Budget(27, "tokens"))
    assert (await meter.sample("0")).finish_reason == "length"


async def test_not_even_the_prompt_fits() -> None:
    engine = ScriptedEngine(says(5))
    meter, ledger = await make_meter(engine, Budget(7, "tokens"))
    with pytest.raises(BudgetExhausted):
        await meter.sample("0")
    assert (engine.asked, ledger.rows()) == ([], [])


async def test_the_prompt_stays_held_back_when_the_first_call_fails() -> None:
    """Were it part of the first call's reservation, the others would spend it after that call has failed."""

    def reply(call: int) -> Reply:
        return TransientError("busy") if call == 0 else (20, 9 if call == 1 else 1, "= 4")

    engine = ScriptedEngine(reply, prompt=40)
    meter, ledger = await make_meter(engine, Budget(40 + 3 * 20, "tokens"))
    made, _ = await drain(meter, 12)
    assert ledger.spent("tokens") == 100
    assert [one.usage.generated_tokens for one in made] == [20, 20, 20]


async def test_a_prompt_of_unknown_length_is_bounded_until_the_server_tells() -> None:
    engine = ScriptedEngine(says(5, turns=2), prompt=30, tells=False)
    bound = most_tokens([Message("user", "2 + 2?")])
    assert bound > 30
    meter, ledger = await make_meter(engine, Budget(bound + 25, "tokens"))
    made, _ = await drain(meter, 60)
    assert engine.asked[0] == 20
    assert engine.most_running > 1  # once it is known, more calls fit
    assert ledger.spent("tokens") == 30 + 5 * len(made) <= bound + 25
    small, ledger = await make_meter(engine, Budget(bound, "tokens"))
    with pytest.raises(BudgetExhausted):
        await small.sample("0")


async def test_dollars_by_the_hour_are_bounded_by_the_speed() -> None:
    engine = ScriptedEngine(says(5))
    ledger = Ledger(HOURLY)
    amount = HOURLY.amount("usd", 7, 12, first=True)
    meter, _ = await make_meter(engine, Budget(amount, "usd"), ledger=ledger)
    await meter.sample("0")
    assert engine.asked == [12]


async def test_a_budget_in_samples_holds_nothing_back() -> None:
    engine = ScriptedEngine(says(20), capacity=2)
    meter, _ = await make_meter(engine, Budget(12, "samples"), costs=CostModel("bare", None, Price()))
    made, exhausted = await drain(meter, 12)
    assert (len(made), exhausted, set(engine.asked)) == (12, 0, {20})
    assert engine.most_running == 2 + 2  # the engine's capacity and a few that wait at its door


# --- failures and cancelling ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [TransientError("x"), EngineDied("x"), ValueError("x"), QueryError("x")])
async def test_a_failed_call_is_wasted_and_leaves_nothing_behind(error: Exception) -> None:
    engine = ScriptedEngine(lambda call: error)
    shared = SharedEngine.around(engine)
    free = shared.admission._value
    meter, ledger = await make_meter(engine, Budget(100, "tokens"), shared=shared)
    with pytest.raises(type(error)):
        await meter.sample("0")
    (row,) = ledger.rows()
    assert (row["disposition"], row["at_least"], row["calls"], row["generated_tokens"]) == ("wasted", True, 1, 0)
    assert row["prompt_tokens"] == (0 if isinstance(error, QueryError) else 7)
    assert shared.admission._value == free
    assert (meter._allowance._in_flight, meter._allowance._reserved, meter.finished) == (0, 0, [])
    assert not engine_is_busy(meter)


async def test_cancelling_aborts_in_the_engine_and_books_the_time() -> None:
    engine = ScriptedEngine(says(5, turns=10_000), capacity=1)
    shared = SharedEngine.around(engine)
    free = shared.admission._value
    meter, ledger = await make_meter(engine, Budget(100, "samples"), shared=shared)
    calls = [asyncio.ensure_future(meter.sample(str(path))) for path in range(free + 2)]
    for _ in range(5):
        await asyncio.sleep(0.001)
    assert meter.in_flight()[:3] == (free, free, 7 * free)
    assert meter.in_flight()[3] == pytest.approx(shared.clock.totals()[0], rel=0.5)
    for call in calls:
        call.cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {asyncio.CancelledError}
    assert engine.cancelled == free
    (row,) = ledger.rows()
    # Two waited at the door: they were never sent, and there is nothing to book.
    assert (row["disposition"], row["at_least"], row["calls"]) == ("wasted", True, free)
    busy, _ = shared.clock.totals()
    assert row["gpu_seconds"] == pytest.approx(busy)
    assert busy > 0
    assert shared.admission._value == free
    assert not engine_is_busy(meter)


async def test_cancelling_a_call_that_waits_for_the_budget_frees_nothing_twice() -> None:
    engine = ScriptedEngine(says(20, turns=50))
    meter, ledger = await make_meter(engine, Budget(27, "tokens"))
    first = asyncio.ensure_future(meter.sample("0"))
    waiting = asyncio.ensure_future(meter.sample("1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert meter._allowance._in_flight == 1
    assert (await first).finish_reason == "stop"
    assert (meter._allowance._in_flight, meter._allowance._reserved, ledger.spent("tokens")) == (0, 0, 27)


async def test_one_engines_time_is_split_among_its_queries() -> None:
    engine = ScriptedEngine(says(5, turns=4))
    shared = SharedEngine.around(engine)
    meters = [(await make_meter(engine, Budget(9, "samples"), shared=shared))[0] for _ in range(3)]
    made = [one for results in await asyncio.gather(*(drain(meter, 5) for meter in meters)) for one in results[0]]
    busy, _ = shared.clock.totals()
    assert sum(one.gpu_seconds for one in made) == pytest.approx(busy)
    rows = [row for meter in meters for row in meter._ledger.rows()]
    assert sum(row["gpu_seconds"] for row in rows) == pytest.approx(busy)
