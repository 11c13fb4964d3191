import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.budgets import Unit, format_budget, parse_budget
from models.errors import UserError

UNITS: list[Unit] = ["samples", "tokens", "flops", "usd"]


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("16", 16, "samples"),
        ("1", 1, "samples"),
        ("16 samples", 16, "samples"),
        ("1sample", 1, "samples"),
        ("4000tokens", 4000, "tokens"),
        (" 4e3 Tokens ", 4000, "tokens"),
        ("2e12flops", 2e12, "flops"),
        ("2.5E+12FLOPs", 2.5e12, "flops"),
        ("1.flops", 1, "flops"),
        ("0.01usd", 0.01, "usd"),
        (".5USD", 0.5, "usd"),
        ("$0.01", 0.01, "usd"),
        ("$ 5", 5, "usd"),
        ("$5usd", 5, "usd"),
    ],
)
def test_budgets_as_they_are_written(text: str, amount: float, unit: str) -> None:
    assert parse_budget(text, "--budget") == (amount, unit)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a budget"),
        ("usd", "is not a budget"),
        ("16apples", "is not a budget"),
        ("-4", "is not a budget"),
        ("nan", "is not a budget"),
        ("inf", "is not a budget"),
        ("1_000", "is not a budget"),
        ("1,000", "is not a budget"),
        ("1 2", "is not a budget"),
        ("$5tokens", "is not a budget"),
        ("5$", "is not a budget"),
        ("٣", "is not a budget"),
        ("0", "must be greater than zero"),
        ("0.0usd", "must be greater than zero"),
        ("1e-999usd", "must be greater than zero"),
        ("1e999flops", "must be greater than zero and finite"),
        ("2.5", "must be a whole number of samples"),
        ("0.5tokens", "must be a whole number of tokens"),
    ],
)
def test_what_is_no_budget_names_the_option(text: str, reason: str) -> None:
    with pytest.raises(UserError, match=rf"^--job-budget: .* {reason}.*; write for example 16, 4000tokens"):
        parse_budget(text, "--job-budget")


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [
        (16, "samples", "16"),
        (4000, "tokens", "4000tokens"),
        (1234567, "tokens", "1234567tokens"),
        (2e12, "flops", "2e+12flops"),
        (0.01, "usd", "0.01usd"),
    ],
)
def test_budgets_are_shown_as_they_are_written(amount: float, unit: Unit, text: str) -> None:
    assert format_budget(amount, unit) == text


@given(st.integers(1, 2**53), st.sampled_from(UNITS))
def test_whole_budgets_round_trip(amount: int, unit: Unit) -> None:
    assert parse_budget(format_budget(amount, unit), "--budget") == (amount, unit)


@given(st.floats(min_value=1e-300, max_value=1e300), st.sampled_from(UNITS[2:]))
def test_fractional_budgets_round_trip(amount: float, unit: Unit) -> None:
    assert parse_budget(format_budget(amount, unit), "--budget") == (amount, unit)
