"""What sampling strategies would have answered with fewer samples, from a job's stored candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import func, select

from lab.replay import figure, vote
from models.catalogue import find_generator
from models.database import Database
from models.statistics import best_of_k, pass_at_k
from models.transitions import CANDIDATE, USAGE


class Point(NamedTuple):
    """Mean accuracy over problems with its 95 % interval (bootstrap over problems), and mean canonical FLOPs: one
    prefill of the prompt, `samples` completions, and their scoring where the verifier is asked."""

    strategy: str
    samples: int
    accuracy: float
    low: float
    high: float
    flops: float


@dataclass(slots=True)
class _Drawn:
    """One problem's candidates. FLOPs are of the prompt once, and of the mean completion."""

    answers: list[str | None] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    prompt_flops: float = 0.0
    flops: list[float] = field(default_factory=list)


def curves(database: Database, job: int, generator: str = "tiny") -> list[Point]:
    """Majority vote, best-of-N, weighted vote and pass@N at every power of two, from a job of `weighted_vote`."""
    drawn, scoring = _read(database, job, generator)
    most = min(len(one.answers) for one in drawn)
    found = []
    for n in [2**power for power in range(most.bit_length())]:
        generating = [one.prompt_flops + n * sum(one.flops) / len(one.flops) for one in drawn]
        judged = sum(generating) / len(drawn) + n * scoring
        plain = sum(generating) / len(drawn)
        found += [
            _point("majority_vote", n, [vote(one.answers, one.right, n) for one in drawn], plain),
            _point("weighted_vote", n, [vote(one.answers, one.right, n, one.scores) for one in drawn], judged),
            _point("best_of_n", n, [best_of_k(one.scores, list(map(float, one.right)), n) for one in drawn], judged),
            _point(
                "pass@N (an oracle chooses)",
                n,
                [pass_at_k(len(one.right), sum(one.right), n) for one in drawn],
                plain,
            ),
        ]
    return sorted(found)


def _point(strategy: str, samples: int, values: Sequence[float], flops: float) -> Point:
    mean = figure(values)
    return Point(strategy, samples, mean.mean, mean.low, mean.high, flops)


def _read(database: Database, job: int, generator: str) -> tuple[list[_Drawn], float]:
    """The candidates of each problem in the order they were drawn, and the mean FLOPs of scoring one."""
    costs = find_generator(generator).costs
    problems: dict[int, _Drawn] = {}
    with database.reading() as connection:
        rows = connection.execute(
            select(
                CANDIDATE.c.query_id, CANDIDATE.c.answer_class, CANDIDATE.c.correct, CANDIDATE.c.score,
                CANDIDATE.c.prompt_tokens, CANDIDATE.c.generated_tokens,
            )
            .where(CANDIDATE.c.job_id == job)
            .order_by(CANDIDATE.c.query_id, func.length(CANDIDATE.c.path), CANDIDATE.c.path)
        )  # fmt: skip
        for row in rows:
            one = problems.setdefault(row.query_id, _Drawn())
            one.answers.append(None if row.answer_class < 0 else str(row.answer_class))
            one.right.append(bool(row.correct))
            # Without an answer it abstains, and is the last to be chosen.
            one.scores.append(-1.0 if row.score is None else row.score)
            prompt = row.prompt_tokens
            one.prompt_flops = costs.canonical_flops(prompt, 0, read=prompt) or 0.0
            one.flops.append(costs.canonical_flops(prompt, row.generated_tokens, read=0) or 0.0)
        scored = select(func.sum(USAGE.c.flops_canonical)).where(USAGE.c.job_id == job, USAGE.c.phase == "score")
        total = float(connection.execute(scored).scalar_one() or 0.0)
    drawn = list(problems.values())
    return drawn, total / sum(len(one.answers) for one in drawn)
