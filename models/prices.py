"""Dollars, from token prices or from the time a GPU was held."""

from __future__ import annotations

from models.settings import Price

_MILLION = 1e6
_HOUR = 3600.0


def token_dollars(price: Price, prompt: int, cached: int | None, generated: int) -> float | None:
    """USD of one request by its tokens; `prompt` includes `cached`, `generated` includes reasoning.

    Cached tokens without a price of their own cost what prompt tokens do; where `cached` is unknown (None), no token
    counts as cached. None where the entry has no token prices, or none for a kind of token that was used.
    """
    if price.prompt is None and price.cached is None and price.generated is None:
        return None
    hits = cached or 0
    parts = (
        (prompt - hits, price.prompt),
        (hits, price.prompt if price.cached is None else price.cached),
        (generated, price.generated),
    )
    total = 0.0
    for tokens, rate in parts:
        if rate is not None:
            total += tokens * rate / _MILLION
        elif tokens:
            return None
    return total


def gpu_dollars(price: Price, gpu_seconds: float | None) -> float | None:
    """USD of holding the GPU; None where the time or the price per hour is unknown."""
    if price.gpu_hour is None or gpu_seconds is None:
        return None
    return gpu_seconds * price.gpu_hour / _HOUR


def dollars(
    price: Price, *, prompt: int, cached: int | None, generated: int, gpu_seconds: float | None
) -> float | None:
    """USD by whichever prices the entry has, the sum where it has both.

    None where it has none, or where a part that has a price cannot be computed: a sum without it would be too low.
    """
    parts: list[float | None] = []
    if price.prompt is not None or price.cached is not None or price.generated is not None:
        parts.append(token_dollars(price, prompt, cached, generated))
    if price.gpu_hour is not None:
        parts.append(gpu_dollars(price, gpu_seconds))
    known = [part for part in parts if part is not None]
    return sum(known) if known and len(known) == len(parts) else None
