"""From one score per step to one score per candidate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

Aggregation = Literal["last", "min", "prod", "mean"]

MEANING = "how step scores become one: last, min, prod, mean"
"""What the parameter `aggregation` does."""

_FUNCTIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "last": lambda scores: scores[-1],
    "min": min,
    "prod": math.prod,
    "mean": lambda scores: sum(scores) / len(scores),
}


def aggregate(scores: Sequence[float], how: Aggregation) -> float:
    """`last` (Snell et al., 2408.03314, section 5.1), `min` and `prod` (Lightman et al., 2305.20050), or `mean`.

    Raises:
        ValueError: there is no score; a candidate without steps has none, which is not 0.0.
    """
    if not scores:
        raise ValueError("no step scores to aggregate")
    return _FUNCTIONS[how](scores)
