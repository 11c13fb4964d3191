"""Costs in any of the units that decisions are taken in, and how they are written in a sentence."""

from __future__ import annotations

import re

from models.budgets import parse_budget
from models.errors import UserError

UNITS = {"flops": "FLOPs", "tokens": "tokens", "gpu-seconds": "GPU-seconds", "usd": "dollars"}
"""The units of a cost, and how each is called."""

COLUMNS = {"flops": "flops_canonical", "tokens": "total_tokens", "gpu-seconds": "gpu_seconds", "usd": "dollars"}
"""Their columns in the view `query_cost`."""

_SIZES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def written(amount: float | None, unit: str) -> str:
    """`1.23 GFLOPs`, `340 tokens`, `2.1 GPU-seconds`, `$0.0012`."""
    if amount is None:
        return "unknown"
    if unit == "usd":
        sign, size = "-" if amount < 0 else "", abs(amount)
        return f"{sign}${size:,.2f}" if size >= 1 else f"{sign}${size:.3g}"
    size, letter = next((one for one in _SIZES if abs(amount) >= one[0]), (1.0, ""))
    name = UNITS[unit]
    short = f"{amount / size:.3g}"
    return f"{short} {letter}{name}" if unit == "flops" else f"{short}{letter} {name}"


def written_between(amount: float, low: float | None, high: float | None, unit: str) -> str:
    """An amount with the ends of its interval on the same scale: `1.19 GFLOPs (0.932 to 1.45)`, `$0.0012 (0.001 to 0.002)`."""
    scale = 1.0 if unit == "usd" else next((size for size, _ in _SIZES if abs(amount) >= size), 1.0)
    ends = ("unbounded" if end is None else f"{end / scale:.3g}" for end in (low, high))
    return f"{written(amount, unit)} ({' to '.join(ends)})"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def parse_amount(text: str, argument: str) -> tuple[float, str]:
    """A total to be spent, such as `5usd`, `$5`, `2e15flops`, `1000000tokens` or `3600gpu-seconds`, and its unit.

    Raises:
        UserError: it is none of these.
    """
    seconds = re.fullmatch(r"\s*(\S+?)\s*gpu-seconds?\s*", text, re.IGNORECASE)
    if seconds is not None:
        amount, _ = parse_budget(f"{seconds[1]}flops", argument)
        return amount, "gpu-seconds"
    amount, unit = parse_budget(text, argument)
    if unit == "samples":
        raise UserError(f"{argument}: {text!r} has no unit; write for example 5usd, 2e15flops, 3600gpu-seconds")
    return amount, unit


def parse_share(text: str, argument: str) -> float:
    """An accuracy as it is written, `60%` or `0.6`, in [0, 1].

    Raises:
        UserError: it is not.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(%?)\s*", text)
    share = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= share <= 1:
        raise UserError(f"{argument}: {text!r} is not an accuracy; write for example 60% or 0.6")
    return share
