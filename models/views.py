"""SQL views for reading by hand, alike on SQLite and PostgreSQL. `models.view_columns` says what each column means."""

from __future__ import annotations

import re

from sqlalchemy import Connection, text


def _whole(value: str, where: str = "u.id IS NOT NULL") -> str:
    """SQL for the sum over the rows `where` holds, which is unknown (NULL) as soon as one of them is."""
    unknown = f"MAX(CASE WHEN {where} AND ({value}) IS NULL THEN 1 ELSE 0 END)"
    return f"CASE WHEN {unknown} = 0 THEN COALESCE(SUM(CASE WHEN {where} THEN {value} END), 0) END"


_TOKENS = f"""{_whole("u.prompt_tokens")} AS prompt_tokens,
       CASE WHEN COUNT(u.id) = COUNT(u.cached_tokens) THEN SUM(u.cached_tokens) END AS cached_tokens,
       {_whole("u.generated_tokens")} AS generated_tokens,
       {_whole("u.scored_tokens")} AS scored_tokens,
       {_whole("u.canonical_prompt_tokens + u.generated_tokens + u.scored_tokens")} AS total_tokens,
       {_whole("u.generated_tokens", "u.reused")} AS reused_tokens,
       {_whole("u.generated_tokens", "u.disposition = 'wasted'")} AS wasted_tokens"""
_COMPUTE = f"""CASE WHEN COUNT(u.id) = COUNT(u.flops) THEN SUM(CASE WHEN u.reused THEN 0 ELSE u.flops END) END AS flops,
       CASE WHEN COUNT(u.id) = COUNT(u.flops_canonical)
            THEN SUM(CASE WHEN u.disposition = 'wasted' THEN 0 ELSE u.flops_canonical END) END AS flops_canonical,
       CASE WHEN COUNT(u.id) = COUNT(u.flops_2nd) THEN SUM(u.flops_2nd) END AS flops_2nd,
       {_whole("u.gpu_seconds")} AS gpu_seconds,
       {_whole("u.gpu_seconds", "NOT u.reused")} AS spent_gpu_seconds,
       SUM(u.dollars) AS dollars,
       SUM(CASE WHEN u.reused THEN 0 ELSE u.dollars END) AS spent_dollars"""

QUERY_COST = f"""
CREATE VIEW query_cost AS
SELECT q.id AS query_id, q.job_id, q.problem_id, q.state, q.strategy, q.bin, q.correct, q.sequential_tokens,
       ELAPSED(q.started_at, q.ended_at) AS seconds,
       (SELECT COUNT(*) FROM candidate c WHERE c.query_id = q.id AND c.finish_reason <> 'step') AS samples,
       COALESCE(SUM(CASE WHEN u.reused THEN 0 ELSE u.calls END), 0) AS calls,
       {_TOKENS},
       {_COMPUTE}
FROM query q LEFT JOIN usage u ON u.query_id = q.id
GROUP BY q.id
"""  # noqa: S608  (all of it is ours)

_JOB_SUMMARY = """
SELECT j.id AS job_id, j.name, j.state, j.reason, j.priority, j.generator, j.lane, j.budget, j.verifier, j.strategy, j.oracle,
       j.imported_from, d.name AS dataset, j.query_count AS queries,
       COALESCE(s.pending, 0) AS pending, COALESCE(s.queued, 0) AS queued, COALESCE(s.running, 0) AS running,
       COALESCE(s.done, 0) AS done, COALESCE(s.failed, 0) AS failed, COALESCE(s.cancelled, 0) AS cancelled,
       s.answered, s.correct, s.graded, s.vote_share, s.score, j.cap_amount, j.cap_unit, j.spent, j.reserved, j.created_at, j.opened_at, j.ended_at
FROM job j JOIN dataset d ON d.id = j.dataset_id
LEFT JOIN (
    SELECT job_id,
           SUM(CASE WHEN state = 'pending' THEN 1 ELSE 0 END) AS pending,
           SUM(CASE WHEN state = 'queued' THEN 1 ELSE 0 END) AS queued,
           SUM(CASE WHEN state = 'running' THEN 1 ELSE 0 END) AS running,
           SUM(CASE WHEN state = 'done' THEN 1 ELSE 0 END) AS done,
           SUM(CASE WHEN state = 'failed' THEN 1 ELSE 0 END) AS failed,
           SUM(CASE WHEN state = 'cancelled' THEN 1 ELSE 0 END) AS cancelled,
           SUM(CASE WHEN state = 'done' AND answer IS NOT NULL THEN 1 ELSE 0 END) AS answered,
           SUM(CASE WHEN state = 'done' AND correct THEN 1 ELSE 0 END) AS correct,
           SUM(CASE WHEN state = 'done' AND correct IS NOT NULL THEN 1 ELSE 0 END) AS graded,
           AVG(CASE WHEN state = 'done' AND voters > 0 THEN CAST(votes AS DOUBLE PRECISION) / voters END) AS vote_share,
           AVG(CASE WHEN state = 'done' THEN score END) AS score
    FROM query WHERE {jobs} GROUP BY job_id) s ON s.job_id = j.id
"""

_COST_ACCURACY = f"""
SELECT s.job_id, s.name, s.dataset, s.generator, s.budget, s.verifier, s.strategy, s.oracle, s.imported_from, s.state,
       s.queries, s.done, s.failed, s.answered, s.correct, s.graded, s.vote_share, s.score,
       CASE WHEN s.graded > 0 THEN CAST(s.correct AS DOUBLE PRECISION) / s.graded END AS accuracy,
       c.samples, c.reused_samples, c.truncated, c.unparsed,
       u.prompt_tokens, u.cached_tokens, u.generated_tokens, u.scored_tokens, u.total_tokens,
       q.sequential_tokens, u.reused_tokens, u.wasted_tokens,
       u.flops, u.flops_canonical, u.flops_2nd, u.gpu_seconds, u.spent_gpu_seconds, u.dollars, u.spent_dollars
FROM {{job_summary}} s
LEFT JOIN (
    SELECT job_id, COUNT(*) AS samples,
           SUM(CASE WHEN reused_from IS NOT NULL THEN 1 ELSE 0 END) AS reused_samples,
           SUM(CASE WHEN finish_reason IN ('length', 'clipped') THEN 1 ELSE 0 END) AS truncated,
           SUM(CASE WHEN answer IS NULL THEN 1 ELSE 0 END) AS unparsed
    FROM candidate WHERE finish_reason <> 'step' AND {{candidates}} GROUP BY job_id) c ON c.job_id = s.job_id
LEFT JOIN (
    SELECT job_id, CASE WHEN COUNT(*) = COUNT(sequential_tokens) THEN SUM(sequential_tokens) END AS sequential_tokens
    FROM query WHERE {{jobs}} GROUP BY job_id) q ON q.job_id = s.job_id
LEFT JOIN (
    SELECT u.job_id,
       {_TOKENS},
       {_COMPUTE}
    FROM usage u WHERE {{jobs}} GROUP BY u.job_id) u ON u.job_id = s.job_id
"""  # noqa: S608

_ALL_JOBS = "job_id IS NOT NULL"

VIEWS = {
    "query_cost": QUERY_COST,
    "job_summary": f"CREATE VIEW job_summary AS {_JOB_SUMMARY.format(jobs=_ALL_JOBS)}",
    "cost_accuracy": f"CREATE VIEW cost_accuracy AS {_COST_ACCURACY.format(jobs=_ALL_JOBS, candidates=_ALL_JOBS, job_summary='job_summary')}",
}
"""Name -> its SQL; `definitions` makes it that of one database."""

_ELAPSED = {
    "sqlite": r"ROUND((JULIANDAY(\2) - JULIANDAY(\1)) * 86400, 3)",
    "postgresql": r"CAST(EXTRACT(EPOCH FROM \2 - \1) AS DOUBLE PRECISION)",
}
"""The seconds between two moments, ELAPSED(from, to) in the views: the two databases have no way of saying it in common."""


def definitions(dialect: str) -> dict[str, str]:
    """The views in the order in which they are made, for `sqlite` or `postgresql`."""
    return {name: re.sub(r"ELAPSED\((.+?), (.+?)\)", _ELAPSED[dialect], sql) for name, sql in VIEWS.items()}


def of_some_jobs(view: str) -> str:
    """`job_summary` (or `job`, the same without sums over queries) or `cost_accuracy` as a statement about the jobs in the parameter `ids` alone: neither database
    carries a condition on a view's row into the sums within, so that a small job would wait for all others."""
    jobs = "job_id IN :ids"
    if view == "job":
        jobs_alone = _JOB_SUMMARY.format(jobs="job_id IS NULL")
        return f"SELECT * FROM ({jobs_alone}) AS chosen WHERE {jobs} ORDER BY job_id"  # noqa: S608
    summary = rows = _JOB_SUMMARY.format(jobs=jobs)
    if view == "cost_accuracy":
        candidates = f"query_id IN (SELECT id FROM query WHERE {jobs})"  # noqa: S608
        rows = _COST_ACCURACY.format(jobs=jobs, candidates=candidates, job_summary=f"({summary})")
    return f"SELECT * FROM ({rows}) AS chosen WHERE {jobs} ORDER BY job_id"  # noqa: S608


def drop_views(connection: Connection) -> None:
    """Migrations may change the tables beneath, so the views go first and are made anew afterwards."""
    for name in reversed(VIEWS):
        connection.execute(text(f"DROP VIEW IF EXISTS {name}"))


def create_views(connection: Connection) -> None:
    for definition in definitions(connection.dialect.name).values():
        connection.execute(text(definition))
