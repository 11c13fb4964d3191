"""Reservations: the most that the next attempt at a query can take from its job's cap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select

from models import tables
from models.costs import CostModel
from models.errors import UserError
from models.specification import JobSpecification
from models.templates import Template
from models.transitions import QUERY, table
from strategies import registry
from strategies.registry import Entry

PROBLEM = table(tables.Problem)


def worst_cases(
    connection: Connection,
    specification: JobSpecification,
    template: Template,
    costs: CostModel,
    cap_unit: str | None,
    query_ids: Sequence[int],
) -> dict[int, float]:
    """Query id -> its worst case in the cap's unit, in the given order; nothing is reserved where there is no cap."""
    if cap_unit is None:
        return dict.fromkeys(query_ids, 0.0)
    rows = connection.execute(
        select(
            QUERY.c.id,
            QUERY.c.budget_amount,
            QUERY.c.budget_unit,
            QUERY.c.sequences,
            QUERY.c.strategy,
            QUERY.c.parameters,
            QUERY.c.evidence,
            PROBLEM.c.prompt,
            PROBLEM.c.subject,
            PROBLEM.c.level,
        )
        .join(PROBLEM, PROBLEM.c.id == QUERY.c.problem_id)
        .where(QUERY.c.id.in_(query_ids))
    )
    longest = int(specification.sampling["max_tokens"])
    worst = {}
    for row in rows:
        entry = registry.outline(row.strategy)
        try:
            prompt = template.worst_prompt_bytes(row.prompt, row.subject, row.level)
        except UserError:
            worst[row.id] = 0.0  # its worker will fail it for this reason, before it has cost anything
            continue
        behind = template.worst_revision_bytes(
            max(entry.shown(row.parameters)), longest, feedback=entry.gives_feedback(row.parameters)
        )
        worst[row.id] = _worst(
            row, entry, _costs(costs, specification, entry, row.parameters), cap_unit, prompt, longest, behind
        )
    return {query_id: worst[query_id] for query_id in query_ids}


def _costs(costs: CostModel, specification: JobSpecification, entry: Entry, parameters: Mapping[str, Any]) -> CostModel:
    """The job's costs as far as a strategy has them: in a job that chooses strategies not all ask the verifier."""
    if specification.plan is not None and not entry.asks_verifier(parameters):
        return replace(costs, verifier=None)
    return replace(costs, every_step=entry.scores_every_step(parameters))


def _worst(row: Any, entry: Entry, costs: CostModel, unit: str, prompt: int, longest: int, behind: int) -> float:
    """What is still to be drawn, and the scoring of what is there and perhaps was not scored."""
    there = int(row.evidence["drawn"]) if row.evidence else 0
    left = row.budget_amount - (there if entry.samples else 0)
    drawing = 0.0
    if left > 0:
        budget = (left, row.budget_unit)
        drawing = costs.worst_case(budget, unit, prompt, longest, calls=row.sequences, behind=behind, begun=there > 0)
    if not entry.samples or there == 0:
        return drawing
    return drawing + there * costs.scoring(unit, costs.most_scored(prompt, longest))
