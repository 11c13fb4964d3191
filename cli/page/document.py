"""The report document: everything the page shows, read from the database into one JSON object.

Each part is made by a small function of its own; a part that has nothing to show is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, select

from cli.page import analyses, wording
from cli.page.queries import sampled_queries
from models import reports, tables
from models.database import Database
from models.errors import UserError
from models.heartbeats import product_version
from models.transitions import JOB, table

MODEL = table(tables.ModelSpecification)
MOST_JOBS = 100
UNITS = {"flops": "flops_canonical", "tokens": "total_tokens", "dollars": "dollars", "gpu_seconds": "gpu_seconds"}
"""What a query's cost is told in, and the column of `cost_accuracy` that holds the job's."""

Document = dict[str, Any]
Job = dict[str, Any]


def build(database: Database, job_ids: Sequence[int] | None) -> Document:
    """The document of these jobs, of all there are by default; `docs/page.md` lists its parts.

    Raises:
        UserError: there is no job, or more than a page can show.
    """
    with database.reading() as connection:
        jobs = _jobs(connection, job_ids)
        pairs = _pairs(connection, jobs)
        curves, refused = analyses.curves(connection, jobs)
        document = {
            "made_at": datetime.now(UTC),
            "version": product_version(),
            "title": wording.title(jobs),
            "conclusion": wording.conclusion(jobs, pairs),
            "jobs": jobs,
            "pairs": pairs,
            "curves": curves,
            "not_replayable": refused,
            "frontier": _frontier(jobs),
            "decisions": analyses.decisions(connection, jobs),
            "queries": sampled_queries(connection, jobs),
        }
    return {name: part for name, part in document.items() if part != []}


def _jobs(connection: Connection, job_ids: Sequence[int] | None) -> list[Job]:
    """Each job's row of `cost_accuracy`, with what defines it and what one query cost."""
    rows = reports.cost_accuracy(connection, job_ids)
    if not rows:
        raise UserError("there is no job yet to make a page of; make one with `tts-jobs run FILE`")
    if len(rows) > MOST_JOBS:
        raise UserError(
            f"a page shows at most {MOST_JOBS} jobs and these are {len(rows)}: name those that it is to show"
        )
    stored = {
        row.id: row for row in connection.execute(select(JOB).where(JOB.c.id.in_([row["job_id"] for row in rows])))
    }
    jobs = []
    for row in rows:
        job = stored[row["job_id"]]._mapping
        ended = row["done"] + row["failed"]
        jobs.append(
            {
                **row,
                "dataset_id": job["dataset_id"],
                "imported_from": job.get("imported_from"),
                "created_at": job["created_at"],
                "ended_at": job["ended_at"],
                "specification": job["specification"],
                "breakdown": analyses.groups(connection, row["job_id"]),
                "versions": {**(job["versions"] or {}), **_models(connection, job["specification"])},
                "per_query": {
                    unit: row[column] / ended if ended and row[column] is not None else None
                    for unit, column in UNITS.items()
                },
            }
        )
    _name(jobs)
    return jobs


def _models(connection: Connection, specification: dict[str, Any]) -> dict[str, Any]:
    """Engine, prices and versions of a job's generator and verifier, as they were recorded."""
    found = {}
    for kind in ("generator", "verifier"):
        row = connection.execute(
            select(MODEL.c.engine, MODEL.c.price, MODEL.c.versions).where(
                MODEL.c.kind == kind,
                MODEL.c.name == specification.get(kind),
                MODEL.c.identity == specification.get(f"{kind}_identity"),
            )
        ).first()
        if row is not None:
            found[kind] = dict(row._mapping)
    return found


def _name(jobs: list[Job]) -> None:
    """Give each job and its dataset a label that no other has, and the job the series that its point belongs to."""
    several_models = len({job["generator"] for job in jobs}) > 1
    verifiers: dict[tuple[str, str], set[str | None]] = {}
    for job in jobs:
        verifiers.setdefault((job["generator"], job["strategy"]), set()).add(job["verifier"])
    namesakes = Counter(group[0]["dataset"] for group in by_dataset(jobs))
    for job in jobs:
        several = namesakes[job["dataset"]] > 1
        job["dataset_label"] = f"{job['dataset']} ({job['queries']} problems)" if several else job["dataset"]
        series = f"{job['generator']} {job['strategy']}" if several_models else job["strategy"]
        if len(verifiers[job["generator"], job["strategy"]]) > 1:
            series += f" with {job['verifier'] or 'no verifier'}"
        job["series"] = f"{series} (oracle)" if job["oracle"] else series
        job["label"] = f"{job['series']} {job['budget']}"
    of_label = Counter((job["dataset_id"], job["label"]) for job in jobs)
    for job in jobs:
        if of_label[job["dataset_id"], job["label"]] > 1:
            job["label"] += f" (job {job['job_id']})"


def by_dataset(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs of each dataset, in the order of their first job."""
    place = {job["dataset_id"]: n for n, job in reversed(list(enumerate(jobs)))}
    ordered = sorted(jobs, key=lambda job: place[job["dataset_id"]])
    return [list(group) for _, group in groupby(ordered, key=lambda job: job["dataset_id"])]


def comparable(jobs: Sequence[Job], unit: str) -> list[Job]:
    """The jobs with an accuracy and a cost in this unit, the cheapest first; an oracle is no competitor."""
    known = [job for job in jobs if job["accuracy"] is not None and job["per_query"][unit] and not job["oracle"]]
    return sorted(known, key=lambda job: (job["per_query"][unit], -job["accuracy"]))


def _pairs(connection: Connection, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Within each dataset, every job against the cheapest one, and the most accurate against every other."""
    pairs = []
    for group in by_dataset(jobs):
        graded = [job for job in group if job["accuracy"] is not None and not job["oracle"]]
        if len(graded) < 2:
            continue
        cheapest = (comparable(group, "flops") or comparable(group, "tokens") or graded)[0]
        best = max(graded, key=lambda job: job["accuracy"])
        wanted = [(cheapest, job) for job in graded if job is not cheapest]
        if best is not cheapest:
            wanted += [(job, best) for job in graded if job not in (cheapest, best)]
        for than, better in wanted:
            if pair := analyses.pair(connection, than, better):
                pairs.append({**pair, "sentence": wording.comparison(than, better, pair)})
    return pairs


def _frontier(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """For each dataset and unit, the jobs that no other one beats in accuracy without costing more."""
    found = []
    for group in by_dataset(jobs):
        for unit in UNITS:
            best = -1.0
            for job in comparable(group, unit):
                if job["accuracy"] > best:
                    best = job["accuracy"]
                    found.append(
                        {
                            "job_id": job["job_id"],
                            "cost": job["per_query"][unit],
                            "unit": unit,
                            "accuracy": best,
                            "low": job["accuracy_low"],
                            "high": job["accuracy_high"],
                        }
                    )
    return found
