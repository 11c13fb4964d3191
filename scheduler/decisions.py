"""Decisions: what was settled before each stage of a query, and why; kept in `query.decisions` for who asks later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Reason = Literal["probe", "chosen", "granted", "settled", "budget", "deadline"]
"""`probe`: samples show how hard it is. `chosen`: its bin's arm, to end with. `granted`: of all that the job could buy,
this gains the most. `settled`: nothing more is worth its cost. `budget`, `deadline`: something was, and it was too late."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided when `stage` stages had been committed.

    drawn: samples that were there. samples: those there are to be after the next stage, None for no further one.
    failure: the probability that one sample is wrong, and bin the number of its bin; None while nothing is known.
    arm: the number of the policy's arm, None for the probe's own vote. gain: P(right) that it is expected to gain, where
    the job's budget is shared out by that.
    """

    stage: int
    reason: Reason
    drawn: int = 0
    samples: int | None = None
    failure: float | None = None
    bin: int | None = None
    arm: int | None = None
    gain: float | None = None


def read(stored: Sequence[Any] | None) -> tuple[Decision, ...]:
    """The decisions as `query.decisions` holds them."""
    return tuple(Decision(**fields) for fields in stored or ())


def written(before: Sequence[Decision], newest: Decision) -> list[dict[str, Any]]:
    """As they are stored: one for each stage, the newest in place of an earlier one that came to nothing."""
    return [asdict(one) for one in (*(one for one in before if one.stage < newest.stage), newest)]
