"""Two jobs on the same problems: how much better one is, whether that is more than chance, and at what cost."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select, text

from models.amounts import COMPARED
from models.statistics import bootstrap_mean, mcnemar
from models.transitions import JOB

UNITS = {"flops": "canonical FLOPs", "tokens": "tokens", "gpu-seconds": "GPU-seconds", "usd": "dollars"}
"""Unit of a comparison -> what it is called in its sentence."""

_VERDICTS = """
SELECT SUM(CASE WHEN x.correct AND NOT y.correct THEN 1 ELSE 0 END) AS only_a,
       SUM(CASE WHEN y.correct AND NOT x.correct THEN 1 ELSE 0 END) AS only_b, COUNT(*) AS problems
FROM query x JOIN query y ON y.problem_id = x.problem_id AND y.job_id = :b AND y.state = 'done' AND y.correct IS NOT NULL
WHERE x.job_id = :a AND x.state = 'done' AND x.correct IS NOT NULL
"""
_COST = """
SELECT {amount} FROM query x
JOIN query y ON y.problem_id = x.problem_id AND y.job_id = :other AND y.state = 'done' AND y.correct IS NOT NULL
JOIN usage u ON u.query_id = x.id
WHERE x.job_id = :job AND x.state = 'done' AND x.correct IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """Job `b` against job `a` on the `problems` that both answered and that have a reference answer.

    `gain` is accuracy(b) - accuracy(a) in [-1, 1], `low` and `high` its 95 % interval (paired bootstrap over problems),
    `p` McNemar's exact two-sided p-value; None where no problem is shared. `only_a` problems are right in a alone,
    `only_b` in b alone. `cost_a` and `cost_b` are what these problems cost in `unit`, `cost_ratio` is b / a; None where
    it is unknown. `sentence` says all of it.
    """

    a: int
    b: int
    problems: int
    only_a: int
    only_b: int
    gain: float | None
    low: float | None
    high: float | None
    p: float | None
    unit: str
    cost_a: float | None
    cost_b: float | None
    cost_ratio: float | None
    sentence: str


def compare(connection: Connection, a: int, b: int, unit: str = "flops") -> Pair:
    """Compare two jobs; `unit` is a key of `UNITS`."""
    first, second = _name(connection, a), _name(connection, b)
    counted = connection.execute(text(_VERDICTS), {"a": a, "b": b}).one()
    if not counted.problems:
        said = f"{second} and {first} have no problem in common that is graded in both"
        return Pair(a, b, 0, 0, 0, None, None, None, None, unit, None, None, None, said)
    problems, only_a, only_b = (int(counted[name]) for name in (2, 0, 1))
    gaps = {1.0: only_b, -1.0: only_a, 0.0: problems - only_a - only_b}
    # By their number, so that the interval of a against b is that of b against a turned round.
    gain, low, high = bootstrap_mean(dict(sorted(gaps.items(), key=lambda gap: gap[1])), seed=0)
    p = mcnemar(only_a, only_b)
    cost_a, cost_b = _cost(connection, a, b, unit), _cost(connection, b, a, unit)
    ratio = cost_b / cost_a if cost_a and cost_b is not None else None
    sentence = _difference(first, second, gain, low, high, p, problems) + _price(ratio, unit)
    return Pair(a, b, problems, only_a, only_b, gain, low, high, p, unit, cost_a, cost_b, ratio, sentence)


def _cost(connection: Connection, job: int, other: int, unit: str) -> float | None:
    found = connection.execute(text(_COST.format(amount=COMPARED[unit])), {"job": job, "other": other}).scalar_one()
    return None if found is None else float(found)


def _name(connection: Connection, job_id: int) -> str:
    job = connection.execute(select(JOB.c.oracle, JOB.c.state).where(JOB.c.id == job_id)).one()
    notes = [note for note, holds in (("oracle", job.oracle), ("partial", job.state != "done")) if holds]
    return f"job {job_id}" + (f" ({', '.join(notes)})" if notes else "")


def _difference(first: str, second: str, gain: float, low: float, high: float, p: float, problems: int) -> str:
    interval = f"95 %: {100 * low:.1f} to {100 * high:.1f}; {problems} problem{'s' * (problems > 1)}; McNemar p {_p(p)}"
    if low <= 0 <= high:
        return f"{second} and {first} cannot be told apart: {100 * gain:+.1f} points ({interval})"
    # The interval turns with the sign, so that it always holds the figure before it.
    if gain < 0:
        interval = interval.replace(f"{100 * low:.1f} to {100 * high:.1f}", f"{-100 * high:.1f} to {-100 * low:.1f}", 1)
    return f"{second} is {100 * abs(gain):.1f} points {'better' if gain > 0 else 'worse'} than {first} ({interval})"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _price(ratio: float | None, unit: str) -> str:
    if ratio is None:
        return f"; what it costs in {UNITS[unit]} beside it is unknown"
    return f" at {ratio:.3g} times the {UNITS[unit]}"
