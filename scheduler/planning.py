"""From an unplanned query to a plan: difficulty gives the bin, the policy the strategy, the allocation the budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from models.specification import JobSpecification
from strategies import registry
from strategies.task import Budget


@dataclass(frozen=True, slots=True)
class Plan:
    """What a query is to run."""

    strategy: str
    parameters: dict[str, Any]
    budget: Budget


class Difficulty(Protocol):
    """Estimates the probability that one sample of a problem fails, in [0, 1]; None where nothing is known."""

    def estimate(self, query_ids: Sequence[int]) -> dict[int, float | None]: ...


class Policy(Protocol):
    """Chooses what to run for a bin (None: unknown difficulty) under a budget."""

    def choose(self, bin_: int | None, budget: Budget) -> Plan: ...


class Allocation(Protocol):
    """Decides each query's budget so that the job's sum fits."""

    def budget(self, query_id: int) -> Budget: ...


class UnknownDifficulty:
    """Nothing is known of any problem, and nothing is spent to find out."""

    def estimate(self, query_ids: Sequence[int]) -> dict[int, float | None]:
        return dict.fromkeys(query_ids)


@dataclass(frozen=True, slots=True)
class FixedPolicy:
    """The job's own strategy in every bin."""

    strategy: str
    parameters: dict[str, Any]

    def choose(self, bin_: int | None, budget: Budget) -> Plan:
        return Plan(self.strategy, self.parameters, budget)


@dataclass(frozen=True, slots=True)
class UniformAllocation:
    """The same budget for every query."""

    amount: Budget

    def budget(self, query_id: int) -> Budget:
        return self.amount


@dataclass(frozen=True, slots=True)
class Planner:
    """The three seams of one job, put together."""

    difficulty: Difficulty
    policy: Policy
    allocation: Allocation

    @classmethod
    def of(cls, specification: JobSpecification) -> Planner:
        budget = Budget(specification.budget_amount, specification.budget_unit)  # type: ignore[arg-type]
        policy = FixedPolicy(specification.strategy, dict(specification.parameters))
        return cls(UnknownDifficulty(), policy, UniformAllocation(budget))

    def plan(self, query_ids: Sequence[int]) -> list[dict[str, Any]]:
        """Rows for `models.transitions.plan`."""
        difficulties = self.difficulty.estimate(query_ids)
        rows = []
        for query_id in query_ids:
            plan = self.policy.choose(None, self.allocation.budget(query_id))
            rows.append(
                {
                    "id": query_id,
                    "stage": 0,
                    "strategy": plan.strategy,
                    "parameters": plan.parameters,
                    "budget_amount": plan.budget.amount,
                    "budget_unit": plan.budget.unit,
                    "sequences": registry.outline(plan.strategy).sequences(plan.budget),
                    "difficulty": difficulties[query_id],
                    "bin": None,
                    "final": True,
                    "gain": 1.0,
                    "confidence": None,
                    "decisions": None,
                }
            )
        return rows
