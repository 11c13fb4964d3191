"""Rows of an attempt: what they sum to and what they leave unknown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from models import flops
from models.costs import CostModel
from models.flops import forward_flops
from models.prices import token_dollars
from models.settings import Price
from strategies.protocols import TokenUsage
from strategies.task import Candidate
from tests.unit.worker.scripted import ARCHITECTURE, COSTS, PRICE
from worker.ledger import Ledger

VERIFIED = replace(COSTS, verifier=replace(COSTS, model="prm"))


def made(usage: TokenUsage, gpu_seconds: float = 0.0, path: str = "0", parent: Candidate | None = None) -> Candidate:
    return Candidate(path, "text", "stop", usage, parent=parent, gpu_seconds=gpu_seconds)


def only(rows: list[dict[str, Any]]) -> dict[str, Any]:
    assert len(rows) == 1
    return rows[0]


def test_one_completion_is_a_request_run_alone() -> None:
    ledger = Ledger(COSTS)
    ledger.completion(made(TokenUsage(30, 0, 12), 1.5))
    row = only(ledger.rows())
    assert (row["phase"], row["model"], row["disposition"], row["reused"]) == ("generate", "scripted", "kept", False)
    assert (row["calls"], row["prompt_tokens"], row["generated_tokens"], row["gpu_seconds"]) == (1, 30, 12, 1.5)
    assert row["flops"] == row["flops_canonical"] == flops.actual_flops(ARCHITECTURE, 30, 0, 12)
    assert row["flops_2nd"] == flops.flops_2nd(ARCHITECTURE, 42)
    assert row["dollars"] == token_dollars(PRICE, 30, 0, 12)


USAGES = some.integers(1, 50).flatmap(
    lambda prompt: some.lists(
        some.builds(TokenUsage, some.just(prompt), some.integers(0, prompt), some.integers(0, 40)),
        min_size=1,
        max_size=8,
    )
)
"""Samples of one query: their prompt is the same."""


@given(USAGES, some.booleans())
def test_rows_are_the_sum_of_their_completions_and_the_prompt_is_canonical_once(
    usages: list[TokenUsage], charged: bool
) -> None:
    ledger = Ledger(COSTS, prompt_charged=charged)
    for usage in usages:
        ledger.completion(made(usage, 0.25))
    row = only(ledger.rows())
    once = 0 if charged else usages[0].prompt_tokens
    generated = sum(usage.generated_tokens for usage in usages)
    assert (row["calls"], row["gpu_seconds"]) == (len(usages), 0.25 * len(usages))
    assert row["prompt_tokens"] == sum(usage.prompt_tokens for usage in usages)
    assert row["cached_tokens"] == sum(usage.cached_tokens or 0 for usage in usages)
    assert (row["canonical_prompt_tokens"], row["generated_tokens"]) == (once, generated)
    decoded = sum(flops.decode_flops(ARCHITECTURE, usage.prompt_tokens, usage.generated_tokens) for usage in usages)
    assert row["flops_canonical"] == decoded + flops.prefill_flops(ARCHITECTURE, once)
    assert row["flops_2nd"] == flops.flops_2nd(ARCHITECTURE, once + generated)
    assert ledger.spent("tokens") == once + generated
    assert ledger.spent("flops") == row["flops_canonical"]
    assert ledger.spent("usd") == row["dollars"]
    assert ledger.spent("samples") == len(usages)


@given(USAGES, some.sampled_from(["tokens", "flops", "usd", "samples"]))
def test_the_price_of_a_completion_is_what_booking_it_adds(usages: list[TokenUsage], unit: str) -> None:
    ledger = Ledger(COSTS)
    for usage in usages:
        before, price = ledger.spent(unit), ledger.price_of(made(usage, 1.0), unit)
        assert ledger.spent(unit) == before
        ledger.completion(made(usage, 1.0))
        assert ledger.spent(unit) == pytest.approx(before + price)


def test_what_the_engine_cannot_say_stays_unknown() -> None:
    ledger = Ledger(COSTS)
    ledger.completion(made(TokenUsage(30, 0, 12), 1.0))
    ledger.completion(made(TokenUsage(30, None, 12), 1.0))
    ledger.completion(made(TokenUsage(30, 30, 12), 1.0))
    row = only(ledger.rows())
    assert row["cached_tokens"] is row["flops"] is None
    assert row["flops_canonical"] is not None
    bare = Ledger(CostModel("m", None, Price()))
    bare.completion(made(TokenUsage(30, 0, 12), 1.0))
    row = only(bare.rows())
    assert [row[name] for name in ("flops", "flops_canonical", "flops_2nd", "dollars")] == [None] * 4


def test_the_hour_is_charged_by_the_time_measured() -> None:
    ledger = Ledger(CostModel("m", None, Price(gpu_hour=3.6)))
    ledger.completion(made(TokenUsage(30, 0, 12), 10.0))
    ledger.aborted(30, 5.0)
    assert ledger.spent("usd") == pytest.approx(0.015)


def test_what_was_given_up_is_wasted_and_at_least() -> None:
    ledger = Ledger(COSTS)
    ledger.aborted(30, 2.0)
    ledger.aborted(30, 1.0)
    row = only(ledger.rows())
    assert (row["disposition"], row["at_least"], row["calls"], row["gpu_seconds"]) == ("wasted", True, 2, 3.0)
    assert (row["prompt_tokens"], row["generated_tokens"], row["cached_tokens"], row["flops"]) == (60, 0, None, None)
    # Its prompt is not the canonical one: the completion that ends well pays for that.
    assert (row["canonical_prompt_tokens"], ledger.prompt_charged) == (0, False)
    ledger.completion(made(TokenUsage(30, 0, 12), 1.0))
    kept = next(row for row in ledger.rows() if row["disposition"] == "kept")
    assert (kept["canonical_prompt_tokens"], kept["at_least"]) == (30, False)


def test_reused_work_has_a_row_of_its_own_and_counts_against_the_budget() -> None:
    ledger = Ledger(COSTS)
    ledger.completion(made(TokenUsage(30, 0, 12), 1.0), reused=True)
    ledger.completion(made(TokenUsage(30, 0, 5), 1.0))
    reused, fresh = sorted(ledger.rows(), key=lambda row: not row["reused"])
    assert (reused["reused"], reused["generated_tokens"], reused["canonical_prompt_tokens"]) == (True, 12, 30)
    assert (fresh["reused"], fresh["generated_tokens"], fresh["canonical_prompt_tokens"]) == (False, 5, 0)
    assert ledger.spent("tokens") == 47


@pytest.mark.parametrize("unit", ["tokens", "flops", "usd"])
def test_an_earlier_attempts_work_is_not_booked_again_but_counts(unit: str) -> None:
    usages = [TokenUsage(30, 0, 12), TokenUsage(30, 0, 7)]
    before = Ledger(COSTS)
    for usage in usages:
        before.completion(made(usage, 0.0))
    after = Ledger(COSTS, prompt_charged=True)
    for usage in usages:
        after.carry(made(usage))
    assert after.rows() == []
    assert after.spent(unit) == pytest.approx(before.spent(unit))


def test_scoring_that_costs_nothing_has_no_row() -> None:
    ledger = Ledger(COSTS)
    ledger.scoring(made(TokenUsage(30, 0, 12), path="0"), (), 0.0)
    assert ledger.rows() == []


def test_scoring_by_a_model_is_held_back_from_the_budget_and_then_booked() -> None:
    ledger = Ledger(VERIFIED)
    ledger.completion(made(TokenUsage(30, 0, 12), 1.0))
    held = ledger.spent("tokens")
    assert held > 42 + 30 + 12
    ledger.scoring(made(TokenUsage(30, 0, 12), path="0"), (TokenUsage(35, 10, 0), TokenUsage(45, 34, 0)), 0.5)
    assert ledger.spent("tokens") == 42 + 45 < held
    row = next(row for row in ledger.rows() if row["phase"] == "score")
    assert (row["model"], row["calls"], row["prompt_tokens"], row["cached_tokens"]) == ("prm", 2, 80, 44)
    assert (row["scored_tokens"], row["gpu_seconds"]) == (45, 0.5)
    shape = ARCHITECTURE
    assert row["flops"] == forward_flops(shape, 25, 10, 1) + forward_flops(shape, 11, 34, 1)
    assert row["flops_canonical"] == forward_flops(shape, 45, 0, 2)


def test_what_the_cache_held_of_a_scoring_may_be_unknown() -> None:
    ledger = Ledger(VERIFIED)
    ledger.scoring(made(TokenUsage(30, 0, 12), path="0"), (TokenUsage(40, 10, 0),), 0.0)
    ledger.scoring(made(TokenUsage(30, 0, 12), path="1"), (TokenUsage(50, None, 0),), 0.0)
    row = only(ledger.rows())
    assert (row["calls"], row["scored_tokens"]) == (2, 90)
    assert row["cached_tokens"] is row["flops"] is None


@pytest.mark.parametrize("unit", ["tokens", "flops", "usd"])
def test_the_cost_of_a_call_holds_what_its_scoring_may_take(unit: str) -> None:
    ledger = Ledger(VERIFIED)
    ledger.completion(made(TokenUsage(30, 0, 12), 0.0))
    assert ledger.spent(unit) == pytest.approx(VERIFIED.amount(unit, 30, 12, first=True))


def test_a_lost_attempt_has_one_wasted_row_for_each_phase() -> None:
    ledger = Ledger(COSTS)
    ledger.completion(made(TokenUsage(30, 0, 12), 1.0), reused=True)
    ledger.completion(made(TokenUsage(30, 0, 5), 1.0))
    ledger.aborted(30, 2.0)
    row = only(ledger.rows_if_lost(3, 2, 90, 4.0))
    assert (row["disposition"], row["at_least"], row["reused"]) == ("wasted", True, False)
    assert (row["calls"], row["samples"], row["generated_tokens"], row["prompt_tokens"]) == (5, 4, 5, 150)
    assert row["gpu_seconds"] == 7.0
    assert {row["disposition"] for row in ledger.rows()} == {"kept", "wasted"}  # the ledger itself is as it was


STEP = made(TokenUsage(30, 0, 6), 1.0, "s0")
NEXT = made(TokenUsage(36, 35, 4), 1.0, "s0.0", STEP)
"""A first step, and one that continues it: all that stands before it but the last token is in the cache."""


def test_a_step_costs_what_its_tokens_cost_in_one_solution() -> None:
    ledger = Ledger(COSTS)
    ledger.completion(STEP)
    ledger.completion(NEXT)
    row = only(ledger.rows())
    assert (row["calls"], row["samples"], row["canonical_prompt_tokens"], row["generated_tokens"]) == (2, 1, 30, 10)
    assert ledger.spent("samples") == 1
    assert row["flops_canonical"] == flops.actual_flops(ARCHITECTURE, 30, 0, 10) == row["flops"]
    assert row["flops_2nd"] == flops.flops_2nd(ARCHITECTURE, 30 + 6 + 1 + 4)


def test_a_step_is_scored_from_where_the_one_before_it_was() -> None:
    ledger = Ledger(VERIFIED)
    for step, tokens in ((STEP, 38), (NEXT, 44)):
        ledger.completion(step)
        ledger.scoring(step, (TokenUsage(tokens, 0, 0),), 0.0)
    row = next(row for row in ledger.rows() if row["phase"] == "score")
    assert (row["calls"], row["scored_tokens"], row["prompt_tokens"]) == (2, 44, 82)
    assert row["flops_canonical"] == pytest.approx(forward_flops(ARCHITECTURE, 44, 0, 2))
    assert row["flops"] == forward_flops(ARCHITECTURE, 38, 0, 1) + forward_flops(ARCHITECTURE, 44, 0, 1)


def test_a_verifier_that_rereads_is_charged_all_it_reads() -> None:
    assert VERIFIED.verifier is not None
    ledger = Ledger(replace(VERIFIED, verifier=replace(VERIFIED.verifier, rereads=True)))
    for step, tokens in ((STEP, 38), (NEXT, 44)):
        ledger.completion(step)
        before = ledger.spent("tokens")
        ledger.scoring(step, (TokenUsage(tokens, 0, 0),), 0.0)
        assert ledger.spent("tokens") <= before, "all of the text was held back"
    row = next(row for row in ledger.rows() if row["phase"] == "score")
    assert (row["calls"], row["scored_tokens"], row["prompt_tokens"]) == (2, 82, 82)
    each = forward_flops(ARCHITECTURE, 38, 0, 1) + forward_flops(ARCHITECTURE, 44, 0, 1)
    assert row["flops_canonical"] == row["flops"] == each
    assert row["flops_2nd"] == flops.flops_2nd(ARCHITECTURE, 82)


def test_what_discarded_branches_took_has_rows_of_its_own() -> None:
    ledger = Ledger(VERIFIED)
    for step in (STEP, NEXT):
        ledger.completion(step)
        ledger.scoring(step, (TokenUsage(40, 0, 0),), 0.25)
    ledger.aborted(36, 1.0)
    rows = {(row["phase"], row["disposition"]): row for row in ledger.rows(discarded={"s0.0"})}
    assert {key: row["generated_tokens"] for key, row in rows.items() if key[0] == "generate"} == {
        ("generate", "kept"): 6,
        ("generate", "discarded"): 4,
        ("generate", "wasted"): 0,
    }
    assert rows["score", "kept"]["gpu_seconds"] == rows["score", "discarded"]["gpu_seconds"] == 0.25
