"""Amounts as they are read and written."""

from __future__ import annotations

import pytest

from models.errors import UserError
from models.units import parse_amount, parse_share, written, written_between


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("5usd", (5.0, "usd")), ("$5", (5.0, "usd")), ("2e15flops", (2e15, "flops")), ("1000tokens", (1000.0, "tokens")),
        ("3600gpu-seconds", (3600.0, "gpu-seconds")), ("0.5 GPU-second", (0.5, "gpu-seconds")),
    ],
)  # fmt: skip
def test_an_amount_has_a_unit(text: str, amount: tuple[float, str]) -> None:
    assert parse_amount(text, "AMOUNT") == amount


@pytest.mark.parametrize("text", ["5", "5samples", "usd", "-1usd", "0gpu-seconds", "xgpu-seconds", ""])
def test_what_is_no_amount_is_a_sentence(text: str) -> None:
    with pytest.raises(UserError, match=r"^AMOUNT: "):
        parse_amount(text, "AMOUNT")


@pytest.mark.parametrize(
    ("text", "share"), [("60%", 0.6), ("60 %", 0.6), ("0.6", 0.6), (".6", 0.6), ("1", 1.0), ("100%", 1.0)]
)
def test_an_accuracy(text: str, share: float) -> None:
    assert parse_share(text, "ACCURACY") == pytest.approx(share)


@pytest.mark.parametrize("text", ["60", "101%", "-1", "nan", "a lot", ""])
def test_what_is_no_accuracy_is_a_sentence(text: str) -> None:
    with pytest.raises(UserError, match=r"^ACCURACY: .* write for example 60% or 0\.6$"):
        parse_share(text, "ACCURACY")


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [
        (1.234e9, "flops", "1.23 GFLOPs"), (999.0, "flops", "999 FLOPs"), (340.0, "tokens", "340 tokens"),
        (34000.0, "tokens", "34k tokens"), (2.125, "gpu-seconds", "2.12 GPU-seconds"), (0.00123, "usd", "$0.00123"),
        (1234.5, "usd", "$1,234.50"), (-0.5, "usd", "-$0.5"), (None, "usd", "unknown"),
    ],
)  # fmt: skip
def test_amounts_are_short(amount: float | None, unit: str, text: str) -> None:
    assert written(amount, unit) == text


def test_both_ends_are_on_the_scale_of_the_amount() -> None:
    assert written_between(1.19e9, 0.932e9, 1.45e9, "flops") == "1.19 GFLOPs (0.932 to 1.45)"
    assert written_between(0.0012, 0.001, None, "usd") == "$0.0012 (0.001 to unbounded)"
    assert written_between(1300.0, 900.0, 1500.0, "tokens") == "1.3k tokens (0.9 to 1.5)"
