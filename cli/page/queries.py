"""Which answers a page shows in full: few, and those that there is most to see in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from sqlalchemy import Connection, and_, case, func, or_, select

from models import reports
from models.transitions import QUERY

MOST_QUERIES = 200
MOST_CANDIDATES = 500
"""Of one query, the first ones: parents stand before their children."""

SHOWN = (
    "path", "parent", "text", "answer", "answer_class", "correct", "score", "step_scores", "finish_reason", "disposition",
    "generated_tokens",
)  # fmt: skip
"""What the page shows of a candidate; `tts-jobs show --json` has the rest."""

USUAL = {"finish_reason": "stop", "disposition": "kept"}

ENDED = QUERY.c.state.in_(("done", "failed"))


def sampled_queries(connection: Connection, jobs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most `MOST_QUERIES` of the jobs' queries with their candidates, the most telling first.

    Problems are chosen, and each is shown under every job of its dataset, so that jobs can be compared on it. Of each
    dataset's share, up to half are problems that its jobs disagree on (of a single job: that its votes disagree on), up
    to a quarter those that none gets right, and the rest is a sample that depends on nothing but positions in the file.
    `reason` says which it is.
    """
    groups: dict[int, list[int]] = {}
    for job in jobs:
        groups.setdefault(job["dataset_id"], []).append(job["job_id"])
    share = max(1, MOST_QUERIES // len(jobs))
    chosen = [[(ids, *one) for one in _problems(connection, ids, share)] for ids in groups.values()]
    found: list[dict[str, Any]] = []
    # Turn by turn, so that a cut at the end takes from every dataset.
    for ids, problem_id, reason in (one for turn in zip_longest(*chosen) for one in turn if one is not None):
        found += [{**query, "reason": reason} for query in _queries(connection, ids, problem_id)]
    return found[:MOST_QUERIES]


def _problems(connection: Connection, job_ids: Sequence[int], share: int) -> list[tuple[int, str]]:
    """(problem id, reason) of the share of one dataset's problems."""
    right = func.sum(case((QUERY.c.correct.is_(True), 1), else_=0))
    wrong = func.sum(case((or_(QUERY.c.correct.is_(False), QUERY.c.state == "failed"), 1), else_=0))
    split = func.sum(case((QUERY.c.votes < QUERY.c.voters, 1), else_=0))
    several = len(job_ids) > 1
    disagree = or_(and_(right > 0, wrong > 0), and_(right + wrong == 0, split > 0)) if several else split > 0
    position = reports.PROBLEM.c.position
    # A shuffle that both databases compute alike and that no number of theirs enters.
    shuffled = (position % 100_003) * 7919 % 100_003
    every = (
        select(QUERY.c.problem_id)
        .join(reports.PROBLEM, reports.PROBLEM.c.id == QUERY.c.problem_id)
        .where(QUERY.c.job_id.in_(job_ids), ENDED)
        .group_by(QUERY.c.problem_id, position)
        .order_by(shuffled, position)
    )
    quotas = [
        (disagree, share // 2, "jobs disagree" if several else "votes disagree"),
        (and_(right == 0, wrong > 0), share // 4, "wrong"),
        (None, share, "sample"),
    ]
    found: dict[int, str] = {}
    for condition, quota, reason in quotas:
        # What an earlier kind has taken may stand first here too.
        statement = every.limit(quota + len(found))
        ids = connection.execute(statement if condition is None else statement.having(condition)).scalars()
        fresh = [problem_id for problem_id in ids if problem_id not in found]
        found.update(dict.fromkeys(fresh[: min(quota, share - len(found))], reason))
    return list(found.items())


def _queries(connection: Connection, job_ids: Sequence[int], problem_id: int) -> list[dict[str, Any]]:
    keys = connection.execute(
        select(QUERY.c.job_id, reports.PROBLEM.c.key)
        .join(reports.PROBLEM, reports.PROBLEM.c.id == QUERY.c.problem_id)
        .where(QUERY.c.job_id.in_(job_ids), QUERY.c.problem_id == problem_id, ENDED)
        .order_by(QUERY.c.job_id)
    ).all()
    found = []
    for job_id, key in keys:
        query = reports.query_of(connection, job_id, key)
        candidates = reports.candidates_of(connection, query["query_id"])
        query = {name: value for name, value in query.items() if name not in ("id", "query_id")}
        left_out = len(candidates) - MOST_CANDIDATES
        query["candidates"] = [_shown(candidate) for candidate in candidates[:MOST_CANDIDATES]]
        found.append({"job_id": job_id, **query, **({"candidates_left_out": left_out} if left_out > 0 else {})})
    return found


def _shown(candidate: dict[str, Any]) -> dict[str, Any]:
    """Without what is null or usual, and without step scores that say no more than the score: most of a page are
    candidates."""
    shown = {name: candidate[name] for name in SHOWN if candidate[name] not in (None, USUAL.get(name))}
    if sum(score is not None for score in shown.get("step_scores", ())) < 2:
        shown.pop("step_scores", None)
    return shown
