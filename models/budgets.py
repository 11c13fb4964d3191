"""Budgets as they are written: `16`, `4000tokens`, `2e12flops`, `0.01usd` or `$0.01`."""

from __future__ import annotations

import math
import re
from typing import Literal

from models.errors import UserError

Unit = Literal["samples", "tokens", "flops", "usd"]

_UNITS: dict[str, Unit] = {
    "": "samples",
    "sample": "samples",
    "samples": "samples",
    "token": "tokens",
    "tokens": "tokens",
    "flop": "flops",
    "flops": "flops",
    "usd": "usd",
}
_WRITTEN = re.compile(
    r"(?P<dollar>\$?)\s*(?P<amount>[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+\.)\s*(?P<unit>[a-zA-Z]*)"
)
_EXAMPLES = "write for example 16, 4000tokens, 2e12flops or 0.01usd"


def parse_budget(text: str, option: str) -> tuple[float, Unit]:
    """The amount and unit of a written budget; a bare number counts samples, `$` means usd.

    Args:
        text: what the user wrote.
        option: the option or key it was written for, to be named in an error (`--budget`).

    Raises:
        UserError: not a number with a known unit, not greater than zero, too large for a float, or a fraction of a
            sample or token.
    """
    match = _WRITTEN.fullmatch(text.strip())
    unit = None if match is None else _UNITS.get(match["unit"].lower())
    if match is not None and match["dollar"]:
        unit = "usd" if match["unit"].lower() in ("", "usd") else None
    if match is None or unit is None:
        raise UserError(f"{option}: {text!r} is not a budget; {_EXAMPLES}")
    amount = float(match["amount"])
    if not 0 < amount < math.inf:
        raise UserError(f"{option}: {text!r} must be greater than zero and finite; {_EXAMPLES}")
    if unit in ("samples", "tokens") and not amount.is_integer():
        raise UserError(f"{option}: {text!r} must be a whole number of {unit}; {_EXAMPLES}")
    return amount, unit


def format_budget(amount: float, unit: Unit) -> str:
    """A budget as `parse_budget` reads it back, exactly: `16`, `4000tokens`, `2e+12flops`, `0.01usd`."""
    written = next(text for text in (f"{amount:g}", f"{amount:.15g}", f"{amount:.17g}") if float(text) == amount)
    return f"{written}{'' if unit == 'samples' else unit}"
