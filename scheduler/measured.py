"""The evidence of a policy as it is read: what `scheduler.calibration.calibrate` tells of it, and on what that rests."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Accuracy(_Part):
    """With its 95 % interval, each in [0, 1]."""

    accuracy: float
    low: float
    high: float


class Setting(Accuracy):
    """`flops` are canonical, the mean of a query."""

    flops: PositiveFloat


class InBin(Accuracy):
    """One entry of the table. share: of the queries that are in the bin; problems: of which some order is."""

    bin: int
    share: float
    problems: int


class AtBudget(Setting):
    bins: list[InBin]


class Uniform(_Part):
    """The same strategy with 1, 2, ... samples for every query."""

    strategy: str = Field(pattern=r"^\w+$")
    curve: list[Setting]


class Factor(_Part):
    """`models.efficiency.Efficiency`."""

    factor: float | None
    low: float | None
    high: float | None
    at_least: bool


class Reliability(_Part):
    """`scheduler.regression.Reliability`."""

    stripes: list[tuple[float, float, NonNegativeFloat]]
    ece: float
    brier: float


class Cost(_Part):
    flops: float
    gpu_seconds: float


class Source(_Part):
    """What was asked: the dataset's name, the template's, and the sampling."""

    dataset: str
    template: str
    sampling: dict[str, Any]


class Measured(_Part):
    """Fields by name: `budgets` by budget, `efficiency` by allocation and target, `break_even` by allocation (problems),
    `reliability` by what is foretold (`fails`, `right`) and the number of samples drawn."""

    problems: int
    samples: int
    cost: Cost
    budgets: dict[int, AtBudget]
    adaptive: list[Setting]
    uniform: Uniform
    efficiency: dict[str, dict[str, Factor]]
    break_even: dict[str, float | None]
    reliability: dict[str, dict[int, Reliability]]
    source: Source | None = None

    def at(self, budget: int, bin_: int) -> InBin | None:
        """What an entry of the table brought, None where it was not measured."""
        row = self.budgets.get(budget)
        return next((one for one in row.bins if one.bin == bin_), None) if row is not None else None
