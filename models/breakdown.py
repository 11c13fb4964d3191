"""All that a job got and cost, whole or by strategy, bin, subject or level, added up in SQL: memory does not grow with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, bindparam, select, text

from models.amounts import AMOUNTS
from models.reports import plain
from models.selection import SAMPLING, Kind, selection
from models.statistics import wilson
from models.transitions import JOB

GROUPS = {"strategy": "q.strategy", "bin": "CAST(q.bin AS TEXT)", "subject": "p.subject", "level": "p.level"}
"""What a job can be broken down by. The strategy is the one that a query's last stage was planned with."""

_SCOPE = """
WITH scope AS (
    SELECT q.id, {group} AS value, q.state, q.strategy, q.correct, q.answer, q.votes, q.voters, q.score,
           q.sequential_tokens, q.started_at, q.ended_at
    FROM query q JOIN problem p ON p.id = q.problem_id WHERE q.job_id = :job)
"""
_QUERIES = """
SELECT value, COUNT(*) AS queries, SUM(CASE WHEN state = 'done' THEN 1 ELSE 0 END) AS done,
       SUM(CASE WHEN state = 'failed' THEN 1 ELSE 0 END) AS failed,
       SUM(CASE WHEN state = 'done' AND answer IS NOT NULL THEN 1 ELSE 0 END) AS answered,
       SUM(CASE WHEN state = 'done' AND correct IS NOT NULL THEN 1 ELSE 0 END) AS graded,
       SUM(CASE WHEN state = 'done' AND correct THEN 1 ELSE 0 END) AS correct,
       AVG(CASE WHEN state = 'done' AND voters > 0 THEN CAST(votes AS DOUBLE PRECISION) / voters END) AS vote_share,
       AVG(CASE WHEN state = 'done' THEN score END) AS score,
       CASE WHEN COUNT(*) = COUNT(sequential_tokens) THEN SUM(sequential_tokens) END AS sequential_tokens
FROM scope GROUP BY value
"""
_USAGE = f"""
SELECT s.value, {", ".join(f"{sql} AS {name}" for name, sql in AMOUNTS.items())}
FROM scope s JOIN usage u ON u.query_id = s.id GROUP BY s.value
"""  # noqa: S608  (SQL of ours)
# Candidates are counted query by query and those counts query kind by query kind, so that few rows come back.
_CANDIDATES = """
SELECT value, right_answer, graded_samples, right_samples, COUNT(*) AS queries, SUM(samples) AS samples,
       SUM(reused_samples) AS reused_samples, SUM(truncated) AS truncated, SUM(unparsed) AS unparsed
FROM (
    SELECT s.value, COUNT(*) AS samples,
           SUM(CASE WHEN c.reused_from IS NOT NULL THEN 1 ELSE 0 END) AS reused_samples,
           SUM(CASE WHEN c.finish_reason IN ('length', 'clipped') THEN 1 ELSE 0 END) AS truncated,
           SUM(CASE WHEN c.answer IS NULL THEN 1 ELSE 0 END) AS unparsed,
           CASE WHEN {sampled} THEN CASE WHEN s.correct THEN 1 ELSE 0 END END AS right_answer,
           CASE WHEN {sampled} THEN COUNT(c.correct) END AS graded_samples,
           CASE WHEN {sampled} THEN SUM(CASE WHEN c.correct THEN 1 ELSE 0 END) END AS right_samples
    FROM scope s JOIN candidate c ON c.query_id = s.id
    WHERE c.finish_reason <> 'step'
    GROUP BY s.id, s.value, s.state, s.strategy, s.correct) counted
GROUP BY value, right_answer, graded_samples, right_samples
""".replace("{sampled}", "s.state = 'done' AND s.correct IS NOT NULL AND s.strategy IN :sampling")
_LATENCY = """
SELECT value, MIN(CASE WHEN place >= 0.5 * ended THEN seconds END) AS latency_p50,
       MIN(CASE WHEN place >= 0.9 * ended THEN seconds END) AS latency_p90,
       MIN(CASE WHEN place >= 0.99 * ended THEN seconds END) AS latency_p99
FROM (
    SELECT value, seconds, ROW_NUMBER() OVER (PARTITION BY value ORDER BY seconds) AS place,
           COUNT(*) OVER (PARTITION BY value) AS ended
    FROM (SELECT value, {seconds} AS seconds FROM scope
          WHERE state = 'done' AND started_at IS NOT NULL AND ended_at IS NOT NULL) timed) ranked
GROUP BY value
"""
_SECONDS = {
    "sqlite": "ROUND((julianday(ended_at) - julianday(started_at)) * 86400, 3)",
    "postgresql": "CAST(ROUND(CAST(EXTRACT(EPOCH FROM ended_at - started_at) AS NUMERIC), 3) AS DOUBLE PRECISION)",
}
_NO_QUERIES = {
    **dict.fromkeys(("queries", "done", "failed", "answered", "graded", "correct", "sequential_tokens"), 0),
    "vote_share": None, "score": None,
}  # fmt: skip
_NOTHING_DRAWN = {"samples": 0, "reused_samples": 0, "truncated": 0, "unparsed": 0}
_UNTIMED = dict.fromkeys(("latency_p50", "latency_p90", "latency_p99"))
_UNUSED = {**dict.fromkeys(AMOUNTS, 0), "dollars": None, "spent_dollars": None}


def breakdown(connection: Connection, job_id: int, by: str | None = None) -> list[dict[str, Any]]:
    """One row for each group of a job's queries, or one for the whole job; docs/reports.md defines every column.

    `by` is a key of `GROUPS`. `value` is the group, None for queries that have none (and for the whole job). Groups are
    sorted, numbers by size, None last. NULL costs are unknown: a sum is unknown as soon as one part of it is; of dollars
    alone the priced part is added up, and `dollars_at_least` tells that there is more.
    """
    groups: dict[str | None, dict[str, Any]] = {} if by else {None: {"value": None, **_NO_QUERIES}}
    groups.update((row["value"], row) for row in _rows(connection, job_id, by, _QUERIES))
    for statement, missing in ((_USAGE, _UNUSED), (_LATENCY, _UNTIMED)):
        found = {row["value"]: row for row in _rows(connection, job_id, by, statement)}
        for value, group in groups.items():
            group.update(found.get(value, missing))
    counts: dict[str | None, Counter[str]] = defaultdict(Counter)
    kinds: dict[str | None, Counter[Kind]] = defaultdict(Counter)
    for row in _rows(connection, job_id, by, _CANDIDATES):
        counts[row["value"]].update({name: row[name] for name in _NOTHING_DRAWN})
        if row["graded_samples"]:
            kind = Kind(bool(row["right_answer"]), row["graded_samples"], row["right_samples"])
            kinds[row["value"]][kind] += row["queries"]
    job = connection.execute(select(JOB.c.verifier, JOB.c.specification).where(JOB.c.id == job_id)).one()
    chooser = "the verifier" if job.verifier else "the vote"
    # Where the chosen sample alone was stored, nothing can be said about choosing.
    kept = job.specification.get("keep_tree") != "none"
    for value, group in groups.items():
        group.update(_NOTHING_DRAWN, **counts[value])
        group.update(_estimates(group))
        group.update(_selected(kinds[value] if kept else Counter(), group["graded"], chooser, kept))
        unpriced, bounds = group.pop("unpriced"), group.pop("bounds")
        group["dollars_at_least"] = group["dollars"] is not None and unpriced > 0
        group["wasted_at_least"] = bounds > 0
    return sorted(groups.values(), key=lambda group: _order(group["value"]))


def idle_seconds(connection: Connection, job_id: int) -> float | None:
    """The idle GPU-seconds of the workers that served a job, as far as they fall to it: of each worker's, the share that
    the job's work has in its busy GPU-seconds. Over all jobs these add up to the workers' idle time.

    None where it is unknown: no worker of ours has been busy for it.
    """
    statement = """
    SELECT SUM(w.idle_seconds * CASE WHEN mine.busy < w.busy_seconds THEN mine.busy / w.busy_seconds ELSE 1 END)
    FROM (SELECT a.worker_id, SUM(u.gpu_seconds) AS busy FROM usage u JOIN attempt a ON a.id = u.attempt_id
          WHERE u.job_id = :job AND NOT u.reused GROUP BY a.worker_id) mine
    JOIN worker w ON w.id = mine.worker_id
    WHERE mine.busy > 0
    """
    found = connection.execute(text(statement), {"job": job_id}).scalar_one()
    return None if found is None else float(found)


def _rows(connection: Connection, job_id: int, by: str | None, statement: str) -> Iterator[dict[str, Any]]:
    whole = _SCOPE.format(group="NULL" if by is None else GROUPS[by]) + statement
    prepared = text(whole.replace("{seconds}", _SECONDS[connection.dialect.name])).bindparams(job=job_id)
    if ":sampling" in statement:
        prepared = prepared.bindparams(bindparam("sampling", SAMPLING, expanding=True))
    return (plain(row) for row in connection.execute(prepared))


def _estimates(group: dict[str, Any]) -> dict[str, Any]:
    graded, samples, done = group["graded"], group["samples"], group["done"]
    low, high = wilson(group["correct"], graded) if graded else (None, None)
    means = {f"mean_{name}": group[name] / done if done and group[name] is not None else None for name in MEANS}
    return {
        "accuracy": group["correct"] / graded if graded else None, "low": low, "high": high,
        "truncated_rate": group["truncated"] / samples if samples else None,
        "unparsed_rate": group["unparsed"] / samples if samples else None,
        **means,
    }  # fmt: skip


MEANS = ("flops", "flops_canonical", "total_tokens", "sequential_tokens", "gpu_seconds", "dollars")
"""What also comes as a mean over the done queries."""


def _selected(kinds: Counter[Kind], graded: int, chooser: str, kept: bool) -> dict[str, Any]:
    found = selection(kinds)
    if found is None:
        why = (
            "candidates of searches and revisions are no independent samples" if kept else "not all samples were stored"
        )
        said = f"{why}: no pass@1, pass@N or selection efficiency" if graded else "no graded answer"
        return {"sampled": 0, **dict.fromkeys(_SELECTION), "selection": said}
    part = "" if found.problems == graded else f"over the {found.problems} of {graded} problems answered by sampling: "
    return {
        "sampled": found.problems,
        **{name: getattr(found, field) for name, field in _SELECTION.items()},
        "selection": part + found.sentence(chooser),
    }


_SELECTION = {
    "samples_each": "samples", "sampled_accuracy": "accuracy", "pass_at_1": "pass_at_1", "pass_at_n": "pass_at_n",
    "selection_efficiency": "efficiency", "selection_low": "low", "selection_high": "high", "limit": "limit",
}  # fmt: skip
"""Column -> field of `Selection`."""


def _order(value: str | None) -> tuple[bool, float, str]:
    try:
        number = float(value or "inf")
    except ValueError:
        number = float("inf")
    return value is None, number, value or ""
