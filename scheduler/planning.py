"""Planning: what the next stage of a query is to run, or that it needs none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sqlalchemy import Connection

from models.specification import JobSpecification
from models.transitions import UNPROBED
from scheduler.decisions import Decision, written
from strategies import registry
from strategies.evidence import Evidence
from strategies.task import Budget


@dataclass(frozen=True, slots=True)
class Waiting:
    """A pending query without a plan: `stage` stages of it have been committed, the last of which left `evidence`."""

    id: int
    problem_id: int
    stage: int = 0
    evidence: Evidence | None = None
    decisions: tuple[Decision, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The next stage of a query; `final` where no decision follows it. `decision` is None in a job that takes none."""

    query: Waiting
    strategy: str
    parameters: dict[str, Any]
    budget: Budget
    sequences: int
    final: bool = True
    gain: float = UNPROBED
    confidence: float | None = None
    decision: Decision | None = None

    def row(self) -> dict[str, Any]:
        """As `models.transitions.plan` takes it."""
        return {
            "id": self.query.id,
            "stage": self.query.stage,
            "strategy": self.strategy,
            "parameters": self.parameters,
            "budget_amount": self.budget.amount,
            "budget_unit": self.budget.unit,
            "sequences": self.sequences,
            "final": self.final,
            "gain": self.gain,
            **_told(self.query, self.decision, self.confidence),
        }


@dataclass(frozen=True, slots=True)
class Settled:
    """No further stage: the present answer stays, because nothing more is worth its cost, or for want of budget."""

    query: Waiting
    decision: Decision
    confidence: float | None = None

    def row(self) -> dict[str, Any]:
        """As `models.transitions.settle` takes it."""
        stopped: Literal["settled", "budget"] = "settled" if self.decision.reason == "settled" else "budget"
        told = _told(self.query, self.decision, self.confidence)
        return {"id": self.query.id, "stage": self.query.stage, "stopped": stopped, **told}


def _told(query: Waiting, decision: Decision | None, confidence: float | None) -> dict[str, Any]:
    return {
        "difficulty": decision.failure if decision else None,
        "bin": decision.bin if decision else None,
        "confidence": confidence,
        "decisions": written(query.decisions, decision) if decision else None,
    }


class Planner(Protocol):
    """Decides for the queries of one job. `width`: sequences of its narrowest stage. `staged`: decisions follow stages.
    `by_gain`: what is worth most is served first, and not what comes first."""

    @property
    def width(self) -> int: ...
    @property
    def staged(self) -> bool: ...
    @property
    def by_gain(self) -> bool: ...

    def decide(self, connection: Connection, queries: Sequence[Waiting]) -> list[Plan | Settled]:
        """What becomes of each query, in their order; what a difficulty needs is read from the database."""
        ...

    def withdraw(self, queries: Sequence[Waiting], reason: Literal["budget", "deadline"]) -> list[Settled]:
        """Settle queries of which a stage has been committed, whatever their next one would have been worth."""
        ...


@dataclass(frozen=True, slots=True)
class FixedPlanner:
    """The job's own strategy, parameters and budget for every query, in one stage."""

    strategy: str
    parameters: dict[str, Any]
    budget: Budget
    staged = False
    by_gain = False

    @classmethod
    def of(cls, specification: JobSpecification) -> FixedPlanner:
        budget = Budget(specification.budget_amount, specification.budget_unit)  # type: ignore[arg-type]
        return cls(specification.strategy, dict(specification.parameters), budget)

    @property
    def width(self) -> int:
        return max(1, registry.outline(self.strategy).sequences(self.budget))

    def decide(self, connection: Connection, queries: Sequence[Waiting]) -> list[Plan | Settled]:
        return [Plan(query, self.strategy, self.parameters, self.budget, self.width) for query in queries]

    def withdraw(self, queries: Sequence[Waiting], reason: Literal["budget", "deadline"]) -> list[Settled]:
        assert not queries, "there is one stage only"
        return []
