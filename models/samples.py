"""The stored samples of a job as arrays, query by query, so that memory does not grow with the job."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
from sqlalchemy import Connection, and_, case, func, select
from sqlalchemy.exc import NoResultFound

from models import prices
from models.catalogue import job_costs
from models.costs import CostModel
from models.settings import Price
from models.specification import JobSpecification
from models.transitions import CANDIDATE, JOB, QUERY, USAGE

PAGE = 500
"""Queries that are read at once."""

GREEDY = "greedy"
"""Where the one sample at temperature 0 is found (`strategies.sampling.GREEDY_PATH`)."""

UNITS = ("flops", "tokens", "dollars")
"""What costs are in: canonical FLOPs, tokens, USD."""

AGGREGATIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "last": lambda scores: scores[-1],
    "min": min,
    "prod": math.prod,
    "mean": lambda scores: sum(scores) / len(scores),
}
"""From step scores to the score of a sample, as `strategies.aggregation`, which this room does not import."""

WHOLE = and_(CANDIDATE.c.parent.is_(None), CANDIDATE.c.finish_reason != "step")
"""Samples that are whole solutions of their own."""

GRADED = and_(QUERY.c.state == "done", QUERY.c.correct.is_not(None))


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The samples of one graded query in the order in which they were drawn, the greedy one first; one entry each.

    answer_class: -1 where no answer could be read. right: whether the answer is that of the reference. scores: under
    each of `AGGREGATIONS`, NaN where the verifier gave none. Costs are in `UNITS`, NaN where unknown: prefill (3,) of
    the prompt, read once; drawing (3, samples) of each sample behind it, scoring (3, samples) of having it read.
    """

    query_id: int
    greedy: bool
    answer_class: np.ndarray
    right: np.ndarray
    scores: dict[str, np.ndarray]
    prefill: np.ndarray
    drawing: np.ndarray
    scoring: np.ndarray

    def __len__(self) -> int:
        return len(self.answer_class)

    @property
    def are_scored(self) -> bool:
        """Whether a verifier read any of them."""
        return not all(np.isnan(score).all() for score in self.scores.values())

    def without_greedy(self) -> Samples:
        """Those at the job's own temperature, which are alike before they are drawn; the greedy one where it is alone."""
        if not self.greedy or len(self) == 1:
            return self
        return replace(
            self,
            greedy=False,
            answer_class=self.answer_class[1:],
            right=self.right[1:],
            scores={how: score[1:] for how, score in self.scores.items()},
            drawing=self.drawing[:, 1:],
            scoring=self.scoring[:, 1:],
        )


@dataclass(frozen=True, slots=True)
class Extent:
    """How many graded queries a job has, the fewest and most samples of one, and how many have a greedy one."""

    queries: int
    fewest: int
    most: int
    greedy: int


def extent(connection: Connection, job_id: int) -> Extent:
    """Counted in SQL, a query without a sample included."""
    each = (
        select(
            QUERY.c.id,
            func.count(CANDIDATE.c.id).label("samples"),
            func.coalesce(func.max(case((CANDIDATE.c.path == GREEDY, 1), else_=0)), 0).label("greedy"),
        )
        .join(CANDIDATE, and_(CANDIDATE.c.query_id == QUERY.c.id, WHOLE), isouter=True)
        .where(QUERY.c.job_id == job_id, GRADED)
        .group_by(QUERY.c.id)
        .subquery()
    )
    row = connection.execute(
        select(
            func.count(), func.min(each.c.samples), func.max(each.c.samples), func.coalesce(func.sum(each.c.greedy), 0)
        ).select_from(each)
    ).one()
    return Extent(int(row[0]), int(row[1] or 0), int(row[2] or 0), int(row[3]))


def read_samples(connection: Connection, job_id: int) -> Iterator[Samples]:
    """Those of every query that is done and graded, by query id."""
    specification = JobSpecification(
        **connection.execute(select(JOB.c.specification).where(JOB.c.id == job_id)).scalar_one()
    )
    own = str(specification.parameters.get("aggregation", "last"))
    price = _Pricing(connection, specification)
    after = 0
    while True:
        page = list(
            connection.execute(
                select(QUERY.c.id)
                # With the bare column, SQLite would go through all of the job's queries for every page.
                .where(QUERY.c.job_id + 0 == job_id, QUERY.c.id > after, GRADED)
                .order_by(QUERY.c.id)
                .limit(PAGE)
            ).scalars()
        )
        if not page:
            return
        scoring = _scoring(connection, job_id, page[0], page[-1])
        rows = connection.execute(
            select(
                CANDIDATE.c.query_id, CANDIDATE.c.path, CANDIDATE.c.answer_class, CANDIDATE.c.correct, CANDIDATE.c.score,
                CANDIDATE.c.step_scores, CANDIDATE.c.prompt_tokens, CANDIDATE.c.generated_tokens, CANDIDATE.c.gpu_seconds,
            )
            .join(QUERY, QUERY.c.id == CANDIDATE.c.query_id)
            .where(CANDIDATE.c.query_id.between(page[0], page[-1]), CANDIDATE.c.job_id == job_id, WHOLE, GRADED)
            .order_by(
                CANDIDATE.c.query_id, CANDIDATE.c.path != GREEDY, func.length(CANDIDATE.c.path), CANDIDATE.c.path
            )
        )  # fmt: skip
        for query_id, group in groupby(rows, key=lambda row: row.query_id):
            yield _samples(query_id, list(group), own, price, scoring.get(query_id))
        after = page[-1]


class _Pricing:
    """What a prompt and what is behind it cost under the job's models, as they were recorded."""

    def __init__(self, connection: Connection, specification: JobSpecification) -> None:
        try:
            self._costs = job_costs(connection, specification)
        except NoResultFound:
            # A recording may come from a model of which nothing is known.
            self._costs = CostModel(specification.generator, None, Price())
        # Samples of one query share their prompt, and many are equally long.
        self._flops = lru_cache(maxsize=10_000)(self._costs.canonical_flops)

    def prompt(self, tokens: int | None) -> list[float | None]:
        if tokens is None:
            return [None, None, None]
        return [self._flops(tokens, 0, read=tokens), tokens, self._dollars(tokens, 0, 0.0)]

    def sample(self, prompt: int | None, tokens: int | None, gpu_seconds: float | None) -> list[float | None]:
        flops = None if prompt is None or tokens is None else self._flops(prompt, tokens, read=0)
        return [flops, tokens, None if tokens is None else self._dollars(0, tokens, gpu_seconds)]

    def _dollars(self, prompt: int, generated: int, gpu_seconds: float | None) -> float | None:
        return prices.dollars(self._costs.price, prompt=prompt, cached=0, generated=generated, gpu_seconds=gpu_seconds)


def _scoring(connection: Connection, job_id: int, first: int, last: int) -> dict[int, list[float | None]]:
    """What the verifier took for each query that it read something of, in `UNITS`; None where a part is unknown."""
    amounts = (
        USAGE.c.flops_canonical,
        USAGE.c.canonical_prompt_tokens + USAGE.c.generated_tokens + USAGE.c.scored_tokens,
        USAGE.c.dollars,
    )
    sums = [case((func.count() == func.count(amount), func.sum(amount))) for amount in amounts]
    rows = connection.execute(
        select(USAGE.c.query_id, *sums)
        .where(
            USAGE.c.query_id.between(first, last),
            USAGE.c.job_id == job_id,
            USAGE.c.phase == "score",
            USAGE.c.disposition != "wasted",
        )
        .group_by(USAGE.c.query_id)
    )
    return {row[0]: [None if value is None else float(value) for value in row[1:]] for row in rows}


def _samples(
    query_id: int, rows: Sequence[Any], own: str, price: _Pricing, scoring: Sequence[float | None] | None
) -> Samples:
    prompt = min((row.prompt_tokens for row in rows if row.prompt_tokens is not None), default=None)
    scores = {how: _numbers([_score(row, how, own) for row in rows]) for how in AGGREGATIONS}
    read = np.array([row.score is not None for row in rows], dtype=float)
    # The ledger has the sum over all that were scored, which are about as long. Nothing in it: reading was free.
    each = _numbers([0.0] * 3 if scoring is None else scoring) / max(read.sum(), 1)
    return Samples(
        query_id=query_id,
        greedy=rows[0].path == GREEDY,
        answer_class=np.array([row.answer_class for row in rows]),
        right=np.array([bool(row.correct) and row.answer_class >= 0 for row in rows]),
        scores=scores,
        prefill=_numbers(price.prompt(prompt)),
        drawing=_numbers([price.sample(prompt, row.generated_tokens, row.gpu_seconds) for row in rows]).T,
        scoring=each[:, None] * read,
    )


def _score(row: Any, how: str, own: str) -> float | None:
    """A sample's score under an aggregation: from its steps, or else the stored one where the job aggregates so."""
    steps = row.step_scores or ()
    needed = steps[-1:] if how == "last" else steps
    if needed and None not in needed:
        return AGGREGATIONS[how](needed)
    return None if how != own or row.score is None else float(row.score)


def _numbers(values: Sequence[Any]) -> np.ndarray:
    """None is NaN: unknown."""
    return np.array(values, dtype=float)
