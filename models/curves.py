"""What the stored samples of a job would have brought with fewer of them: accuracy against cost at every number."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sqlalchemy import Connection, func, select

from models.bootstrap import Bootstrap
from models.errors import UserError
from models.replays import ADAPTIVE, JUDGED, PLAIN, Key, Prefix, Settled, Subsets, Way
from models.samples import AGGREGATIONS, UNITS, Extent, extent, read_samples
from models.specification import JobSpecification
from models.transitions import JOB, QUERY

Estimator = Literal["subsets", "prefix"]
SAMPLED = ("majority_vote", "best_of_n", "weighted_vote", "greedy")
"""Strategies whose samples are independent of each other, and as many as the budget says."""


_WHY_NOT = {
    "first_finish": "it gives up samples before their end, and with fewer of them others would have come first",
    "compute_optimal": "how many samples a query has, and whether they search, depends on what the ones before showed",
    "sequential_revision": "a revision is written in sight of the attempts before it",
}


@dataclass(frozen=True, slots=True)
class Replayed:
    """`curves` are as the report document has them; `samples`: so many of each query were replayed, of which up to
    `headline` are for headline figures; `problems`: graded queries; `notes`: what to know of them, a sentence each."""

    curves: list[dict[str, Any]]
    problems: int
    samples: int
    headline: int
    notes: list[str]


def refusal(connection: Connection, job_id: int, estimator: Estimator = "subsets") -> str | None:
    """Why a job cannot be replayed, in one sentence; None where it can."""
    strategy, specification = _job(connection, job_id)
    if strategy not in (*SAMPLED, ADAPTIVE[0]):
        why = _WHY_NOT.get(
            strategy, "its candidates are no independent samples: each depends on what became of the others"
        )
        return f"{strategy}: {why}; run it for each N"
    if strategy == ADAPTIVE[0] and estimator == "subsets":
        return (
            f"{strategy}: it stopped by what its samples showed, so that a random subset of them is none of new ones; "
            "use --estimator prefix, or a job of majority_vote"
        )
    if specification.keep_tree == "none":
        return f"{strategy}: only the chosen sample was kept (--keep-tree none); run it with --keep-tree full"
    there = extent(connection, job_id)
    if not there.queries:
        return f"{strategy}: no query of it is done and graded; `tts-jobs review` is for jobs without reference answers"
    if not _most(there, estimator):
        return f"{strategy}: a query of it has no sample to replay; retry it, or run the job anew"
    return None


def replayed_curves(connection: Connection, job_id: int, *, estimator: Estimator = "subsets") -> list[dict[str, Any]]:
    """The curves of `replay`."""
    return replay(connection, job_id, estimator=estimator).curves


def replay(connection: Connection, job_id: int, *, estimator: Estimator = "subsets", seed: int = 0) -> Replayed:
    """Every way to choose an answer among k stored samples of each query, for every k.

    `subsets` averages over random subsets without replacement in random order: pass@k and best-of-N in closed form,
    votes over `SUBSETS` of them. `prefix` takes the first k as they were drawn. Intervals are 95 %, of a bootstrap over
    problems. A cost is the mean over problems of one prefill of the prompt, k samples, and their scoring where the
    verifier is asked; None where a part of it is unknown.

    Raises:
        UserError: the job cannot be replayed (`refusal`).
    """
    why_not = refusal(connection, job_id, estimator)
    if why_not is not None:
        raise UserError(f"job {job_id}: {why_not}")
    strategy, specification = _job(connection, job_id)
    there = extent(connection, job_id)
    most = there.most if strategy == ADAPTIVE[0] else _most(there, estimator)
    way: Way
    if strategy == ADAPTIVE[0]:
        way, keys = Settled(most), [ADAPTIVE]
    else:
        way = Prefix(most) if estimator == "prefix" else Subsets(most, seed)
        keys = [*PLAIN, *JUDGED]
    means = _Means(keys, there.queries, most, seed)
    any_scores = False
    for samples in read_samples(connection, job_id):
        means.add(way.curves(samples), way.costs(samples))
        any_scores = any_scores or samples.are_scored
    # Where there is no verifier, a query of which no answer could be read has nothing that lacks a score.
    points = {key: points for key, points in means.result() if key[1] is None or any_scores}
    headline = most // 2 if estimator == "subsets" else most
    name = connection.execute(select(JOB.c.name).where(JOB.c.id == job_id)).scalar_one()
    return Replayed(
        curves=[
            {
                "job_id": job_id,
                "name": name,
                "strategy": rule,
                "aggregation": how,
                "estimator": estimator,
                "points": [{**point, "headline": point["n"] <= max(headline, 1)} for point in curve],
            }
            for (rule, how), curve in points.items()
        ],
        problems=there.queries,
        samples=most,
        headline=max(headline, 1),
        notes=list(_notes(connection, job_id, there, specification, most, estimator, points)),
    )


class _Means:
    """Curves and costs, summed up over problems."""

    def __init__(self, keys: Sequence[Key], problems: int, most: int, seed: int) -> None:
        self._keys, self._most = keys, most
        self._bootstrap = Bootstrap(problems, seed=seed)
        self._costs = np.zeros((2, len(UNITS), most))
        self._problems = problems

    def add(self, curves: Mapping[Key, np.ndarray], costs: np.ndarray) -> None:
        # NaN makes the mean NaN: what is not known of one problem is not known of all.
        nothing = np.full(self._most, np.nan)
        self._bootstrap.add(np.concatenate([curves.get(key, nothing) for key in self._keys]))
        self._costs += costs

    def result(self) -> Iterator[tuple[Key, list[dict[str, Any]]]]:
        """Each curve that is known of all problems, with its points."""
        figures = np.clip([one.reshape(len(self._keys), self._most) for one in self._bootstrap.result()], 0, 1)
        for number, key in enumerate(self._keys):
            mean, low, high = figures[:, number]
            if np.isnan(mean).any():
                continue
            costs = self._costs[0 if key[1] is None else 1] / self._problems
            yield (
                key,
                [
                    {
                        "n": k + 1,
                        "accuracy": float(mean[k]),
                        "low": float(low[k]),
                        "high": float(high[k]),
                        **{
                            unit: None if np.isnan(cost[k]) else float(cost[k])
                            for unit, cost in zip(UNITS, costs, strict=True)
                        },
                    }
                    for k in range(self._most)
                ],
            )


def _most(there: Extent, estimator: Estimator) -> int:
    """Samples that every query has. The greedy one is no random sample, and in no subset of others."""
    return there.fewest - (estimator == "subsets" and there.greedy > 0 and there.most > 1)


def _job(connection: Connection, job_id: int) -> tuple[str, JobSpecification]:
    row = connection.execute(select(JOB.c.strategy, JOB.c.specification).where(JOB.c.id == job_id)).one()
    return row.strategy.replace("-", "_"), JobSpecification(**row.specification)


def _notes(
    connection: Connection,
    job_id: int,
    there: Extent,
    specification: JobSpecification,
    most: int,
    estimator: Estimator,
    known: Collection[Key],
) -> Iterator[str]:
    all_queries = connection.execute(
        select(func.count()).select_from(QUERY).where(QUERY.c.job_id == job_id)
    ).scalar_one()
    if all_queries > there.queries:
        yield f"{all_queries - there.queries} of {all_queries} queries are not done or have no reference answer, and are left out"
    if there.most > there.fewest and ADAPTIVE not in known:
        yield f"its queries have {there.fewest} to {there.most} samples, so the curves end at {most}"
    if specification.budget_unit != "samples":
        yield (
            f"its budget was in {specification.budget_unit}, so that how many samples a query has depends on how long they "
            "are: short ones are a little too frequent"
        )
    if estimator == "subsets" and there.greedy and there.most > 1:
        yield "its greedy samples are no random ones and left out; --estimator prefix has them first"
    judged = {how for _, how in known if how is not None}
    missing = [how for how in AGGREGATIONS if how not in judged]
    if judged and missing:
        yield f"no best-of-N or weighted vote under {', '.join(missing)}: not every step of every sample was scored"
