"""Costs in any unit, and the worst case that dispatch reserves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from models import flops
from models.architecture import Architecture
from models.costs import CostModel
from models.errors import UserError
from models.settings import Price

ARCHITECTURE = Architecture(
    family="llama",
    layers=2,
    hidden=8,
    query_heads=2,
    kv_heads=1,
    head_dim=4,
    mlp_width=16,
    gated=True,
    vocabulary=32,
)
TOKENS = CostModel("m", ARCHITECTURE, Price(prompt=2.0, generated=8.0))
HOURLY = CostModel("m", ARCHITECTURE, Price(gpu_hour=3.6), flops_per_second=1e6)


@pytest.mark.parametrize("first", [True, False])
def test_amounts(first: bool) -> None:
    computed = flops.decode_flops(ARCHITECTURE, 30, 12) + first * flops.prefill_flops(ARCHITECTURE, 30)
    assert TOKENS.amount("samples", 30, 12, first=first) == 1
    assert TOKENS.amount("tokens", 30, 12, first=first) == 12 + 30 * first
    assert TOKENS.amount("flops", 30, 12, first=first) == computed
    # A server bills every request's prompt.
    assert TOKENS.amount("usd", 30, 12, first=first) == pytest.approx((30 * 2 + 12 * 8) / 1e6)
    assert HOURLY.amount("usd", 30, 12, first=first) == pytest.approx(computed / 1e6 * 3.6 / 3600)


@pytest.mark.parametrize(
    ("costs", "unit", "message"),
    [
        (CostModel("m", None, Price()), "flops", "flops needs the architecture of m; set `architecture`"),
        (CostModel("m", None, Price()), "usd", "usd needs a price for m; set `price`"),
        (CostModel("m", None, Price(prompt=1.0)), "usd", "usd needs a price for m; set `price`"),
        (CostModel("m", ARCHITECTURE, Price(gpu_hour=1.0)), "usd", "usd needs `flops_per_second` in the entry of m"),
        (CostModel("m", None, Price(gpu_hour=1.0), 1e9), "usd", "usd needs `architecture` in the entry of m"),
    ],
)
def test_what_is_missing_is_named(costs: CostModel, unit: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        costs.amount(unit, 1, 1, first=True)


def test_unknown_architectures_have_unknown_flops() -> None:
    assert CostModel("m", None, Price()).canonical_flops(10, 10, read=10) is None


def test_the_worst_case_in_the_budgets_own_unit_is_the_budget() -> None:
    assert TOKENS.worst_case((4000, "tokens"), "tokens", 100, 50) == 4000


def test_the_worst_case_of_samples() -> None:
    assert TOKENS.worst_case((4, "samples"), "tokens", 100, 50) == 4 * 50 + 100
    assert TOKENS.worst_case((4, "samples"), "usd", 100, 50) == pytest.approx(4 * (100 * 2 + 50 * 8) / 1e6)
    alone = flops.prefill_flops(ARCHITECTURE, 100) + 4 * flops.decode_flops(ARCHITECTURE, 100, 50)
    assert TOKENS.worst_case((4, "samples"), "flops", 100, 50) == alone


def test_a_budget_of_tokens_can_take_many_calls() -> None:
    assert TOKENS.worst_case((4000, "tokens"), "samples", 100, 50, calls=16) == 16
    assert TOKENS.worst_case((130, "tokens"), "usd", 100, 50, calls=16) == pytest.approx((16 * 100 * 2 + 130 * 8) / 1e6)
    assert TOKENS.worst_case((4000, "tokens"), "usd", 100, 50, calls=1) == pytest.approx((100 * 2 + 50 * 8) / 1e6)


UNITS = some.sampled_from(["samples", "tokens", "flops", "usd"])


COSTS = some.sampled_from([TOKENS, HOURLY])


@given(COSTS, UNITS, UNITS, some.integers(1, 40), some.integers(0, 30), some.sampled_from([0, 25]), some.data())
def test_nothing_that_fits_the_budget_costs_more_than_its_worst_case(
    costs: CostModel, unit: str, cap: str, longest: int, prompt: int, shown: int, data: some.DataObject
) -> None:
    calls = data.draw(
        some.lists(some.tuples(some.integers(1, longest), some.integers(0, shown)), min_size=1, max_size=6)
    )

    def total(in_unit: str) -> float:
        return sum(
            costs.amount(in_unit, prompt + behind, length, first=not i, behind=behind)
            for i, (length, behind) in enumerate(calls)
        )

    slack = data.draw(some.sampled_from([0.0, 0.3])) * total(unit)
    budget = (total(unit) + (slack if unit in ("flops", "usd") else int(slack)), unit)
    bound = data.draw(some.integers(prompt, prompt + 5))
    worst = costs.worst_case(budget, cap, bound, longest, calls=6, behind=shown)
    assert total(cap) <= worst * (1 + 1e-12)


@pytest.mark.parametrize("unit", ["tokens", "flops", "usd"])
def test_what_is_read_of_earlier_attempts_is_charged_and_scored_by_nobody(unit: str) -> None:
    """A revision costs what its problem alone would, its 20 tokens of attempts read before and attended to."""
    revised = TOKENS.amount(unit, 30 + 20, 12, first=False, behind=20)
    assert (
        revised
        == {
            "tokens": 12 + 20,
            "flops": flops.forward_flops(ARCHITECTURE, 20, 30, 0) + flops.decode_flops(ARCHITECTURE, 50, 12),
            "usd": pytest.approx((50 * 2 + 12 * 8) / 1e6),
        }[unit]
    )
    verified = replace(TOKENS, verifier=replace(TOKENS, model="prm"))
    scoring = verified.amount(unit, 50, 12, first=False, behind=20) - revised
    assert scoring == pytest.approx(TOKENS.amount(unit, 30 + 2 * 12 + 2, 1, first=True))


def test_the_first_completion_reads_all_of_its_prompt_even_if_it_is_a_revision() -> None:
    assert TOKENS.amount("tokens", 50, 12, first=True, behind=20) == 62
    assert TOKENS.canonical_flops(50, 12, read=50) == flops.actual_flops(ARCHITECTURE, 50, 0, 12)


def test_a_step_feeds_the_last_token_of_what_it_continues() -> None:
    step = TOKENS.amount("flops", 36, 4, first=False, continued=True)
    assert step == flops.forward_flops(ARCHITECTURE, 4, 35, 4)
    assert TOKENS.amount("tokens", 36, 4, first=False, continued=True) == 4  # it was counted when it was drawn
