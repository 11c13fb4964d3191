"""Recorded problems: what a calibration's jobs drew and answered, read back from the database. Needs the extra `calibrate`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from sqlalchemy import Connection, and_, case, func, select, text

from models.catalogue import job_costs
from models.database import Database
from models.errors import UserError
from models.reports import PROBLEM
from models.specification import JobSpecification
from models.transitions import CANDIDATE, JOB, QUERY, USAGE
from strategies.greedy import GREEDY_PATH


@dataclass(frozen=True, slots=True)
class Searched:
    """One real run of an arm that cannot be replayed: whether its answer was right, its canonical FLOPs with one prefill
    of the prompt, and its GPU-seconds."""

    right: bool
    flops: float
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """One problem and its samples, the greedy one first; every array has one entry a sample.

    answer_class: as `strategies.task.Candidate`. score: the verifier's, NaN where it gave none. logprob: mean over the
    steps, weakest: of the lowest one (nats), NaN where the engine gave none. tokens: generated. prompt: tokens of it.
    prefill, drawing, scoring: canonical FLOPs of reading the prompt once, of each sample behind it, and of scoring it;
    `drawing_seconds` and `scoring_seconds` are GPU-seconds. searches: by the number of the arm.
    """

    key: str
    text: str
    level: str | None
    answer_class: np.ndarray
    right: np.ndarray
    score: np.ndarray
    logprob: np.ndarray
    weakest: np.ndarray
    tokens: np.ndarray
    prompt: int
    prefill: float
    drawing: np.ndarray
    scoring: np.ndarray
    drawing_seconds: np.ndarray
    scoring_seconds: np.ndarray
    searches: Mapping[int, Searched] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        return len(self.right)

    @property
    def unit(self) -> float:
        """Mean FLOPs of one sample, in which a policy counts."""
        return float(self.drawing.mean())


def read_outcomes(database: Database, votes: int, searches: Mapping[int, int]) -> list[Recorded]:
    """The problems that were answered in all jobs: `votes` drew the samples, the first of them greedy, and `searches` has
    the job of every arm that is no vote, by the number of the arm.

    Raises:
        UserError: no problem has all outcomes, there are no reference answers, or a model's FLOPs are not known.
    """
    with database.reading() as connection:
        ran = {number: dict(_searched(connection, job)) for number, job in searches.items()}
        found = [
            one
            for problem_id, one in _sampled(connection, votes, ran)
            if all(problem_id in answers for answers in ran.values())
        ]
    most = max((one.samples for one in found), default=0)
    whole = [one for one in found if one.samples == most]
    if not whole:
        raise UserError(f"job {votes}: no problem was answered in all of the calibration's jobs; let them finish first")
    return whole


def _sampled(
    connection: Connection, job: int, ran: Mapping[int, Mapping[int, Searched]]
) -> Iterator[tuple[int, Recorded]]:
    """Each problem of the job by its id, read row by row."""
    specification = connection.execute(select(JOB.c.specification).where(JOB.c.id == job)).scalar_one()
    costs = job_costs(connection, JobSpecification(**specification))
    if costs.architecture is None:
        raise UserError(
            f"the FLOPs of {costs.model} are not known, so nothing can be weighed; set `architecture` in its entry"
        )
    scored = dict(_scoring(connection, job))
    rows = connection.execution_options(yield_per=1000).execute(
        select(
            QUERY.c.id, QUERY.c.problem_id, PROBLEM.c.key, PROBLEM.c.prompt, PROBLEM.c.level, CANDIDATE.c.path,
            CANDIDATE.c.answer_class, CANDIDATE.c.correct, CANDIDATE.c.score, CANDIDATE.c.step_logprobs,
            CANDIDATE.c.prompt_tokens, CANDIDATE.c.generated_tokens, CANDIDATE.c.gpu_seconds,
        )
        .join(QUERY, QUERY.c.id == CANDIDATE.c.query_id)
        .join(PROBLEM, PROBLEM.c.id == QUERY.c.problem_id)
        .where(CANDIDATE.c.job_id == job, QUERY.c.state == "done")
        .order_by(QUERY.c.id, CANDIDATE.c.path != GREEDY_PATH, func.length(CANDIDATE.c.path), CANDIDATE.c.path)
    )  # fmt: skip
    for query_id, group in groupby(rows, key=lambda row: row.id):
        samples = list(group)
        first = samples[0]
        if first.path != GREEDY_PATH:
            raise UserError(f"job {job} drew no greedy sample; calibrate on a vote with `--param greedy_first=true`")
        if any(row.correct is None for row in samples):
            raise UserError(f"problem {first.key!r} has no reference answer; calibrate on problems that have one")
        prompt = min(row.prompt_tokens for row in samples)
        score = _numbers(row.score for row in samples)
        flops, seconds = scored.get(query_id, (0.0, 0.0))
        # The ledger has the sum over all that were scored, which are about as long.
        share = ~np.isnan(score) / max(np.count_nonzero(~np.isnan(score)), 1)
        yield (
            first.problem_id,
            Recorded(
                key=first.key,
                text=first.prompt,
                level=first.level,
                answer_class=np.array([row.answer_class for row in samples]),
                right=np.array([bool(row.correct) for row in samples]),
                score=score,
                logprob=_numbers(_mean(row.step_logprobs) for row in samples),
                weakest=_numbers(min(row.step_logprobs) if row.step_logprobs else None for row in samples),
                tokens=np.array([row.generated_tokens for row in samples]),
                prompt=prompt,
                prefill=costs.canonical_flops(prompt, 0, read=prompt) or 0.0,
                drawing=_numbers(costs.canonical_flops(prompt, row.generated_tokens, read=0) for row in samples),
                scoring=flops * share,
                drawing_seconds=_numbers(row.gpu_seconds for row in samples),
                scoring_seconds=seconds * share,
                searches={
                    number: answers[first.problem_id] for number, answers in ran.items() if first.problem_id in answers
                },
            ),
        )


def _scoring(connection: Connection, job: int) -> Iterator[tuple[int, tuple[float, float]]]:
    """What the verifier took for each query: canonical FLOPs and GPU-seconds."""
    kept = USAGE.c.disposition != "wasted"
    rows = connection.execute(
        select(
            USAGE.c.query_id,
            func.coalesce(func.sum(case((kept, USAGE.c.flops_canonical))), 0.0).label("flops"),
            func.sum(case((and_(kept, USAGE.c.flops_canonical.is_(None)), 1), else_=0)).label("unknown"),
            func.sum(USAGE.c.gpu_seconds).label("seconds"),
        )
        .where(USAGE.c.job_id == job, USAGE.c.phase == "score")
        .group_by(USAGE.c.query_id)
    )
    for row in rows:
        if row.unknown:
            raise UserError(
                "the FLOPs of the verifier are not known, so nothing can be weighed; set its `architecture`"
            )
        yield row.query_id, (float(row.flops), float(row.seconds))


def _searched(connection: Connection, job: int) -> Iterator[tuple[int, Searched]]:
    rows = connection.execute(
        text(
            "SELECT problem_id, correct, flops_canonical, gpu_seconds FROM query_cost "
            "WHERE job_id = :job AND state = 'done' AND correct IS NOT NULL"
        ),
        {"job": job},
    )
    for row in rows:
        if row.flops_canonical is None:
            raise UserError(f"job {job}: FLOPs of its models are not known; set `architecture` in their entries")
        yield row.problem_id, Searched(bool(row.correct), float(row.flops_canonical), float(row.gpu_seconds))


def _numbers(values: Iterable[Any]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _mean(values: list[float] | None) -> float | None:
    return sum(values) / len(values) if values else None
