"""Jobs side by side, on the problems that all of them graded: what every decision between them is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, select, text

from models import tables
from models.catalogue import job_costs
from models.efficiency import Curve
from models.errors import UserError
from models.reports import PROBLEM, job_summaries
from models.specification import JobSpecification
from models.transitions import JOB, table
from models.units import COLUMNS, UNITS
from models.whatif import AS_BOOKED, Prices, dollars_by_query, unpriced

DATASET = table(tables.Dataset)

GRADED = """
SELECT query_id, problem_id, correct{cost} FROM query_cost
WHERE job_id = :job AND state = 'done' AND correct IS NOT NULL ORDER BY problem_id
"""


@dataclass(frozen=True, slots=True)
class Run:
    """A job as it is named in a decision."""

    job_id: int
    name: str
    generator: str
    verifier: str | None
    strategy: str
    budget: str
    state: str
    oracle: bool

    @property
    def label(self) -> str:
        """`job 3 (weighted_vote 16 on tiny with tiny-prm)`."""
        judged = f" with {self.verifier}" if self.verifier else ""
        said = f"{self.strategy} {self.budget} on {self.generator}{judged}"
        return f"job {self.job_id} ({said}{', oracle' if self.oracle else ''})"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A job that no decision is taken about, and why."""

    run: Run
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """Jobs of one dataset on the problems that all of them graded, in the dataset's order.

    `right` and `cost` are (problems, jobs): 1.0 where the answer was right, and what it cost in `unit`. `size` is how many
    problems the dataset has, `groups` the level or the difficulty bin of each problem, None where there is neither.
    """

    dataset: str
    size: int
    unit: str
    runs: list[Run]
    right: np.ndarray
    cost: np.ndarray
    groups: list[str] | None
    left_out: list[LeftOut]

    @property
    def problems(self) -> int:
        return len(self.right)

    def curve(self, places: Sequence[int], problems: np.ndarray | None = None) -> Curve:
        """Some of the jobs as settings, in the order given, on all or some of the problems."""
        rows = slice(None) if problems is None else problems
        return Curve(self.right[rows][:, list(places)], self.cost[rows][:, list(places)])

    def place(self, job_id: int) -> int:
        """The column of a job."""
        return next(place for place, run in enumerate(self.runs) if run.job_id == job_id)


def find_dataset(connection: Connection, wanted: str) -> int:
    """A dataset's id from its name, its number, or `last`: that of the newest job.

    Raises:
        UserError: there is none, or there are several of that name.
    """
    if wanted == "last":
        newest = connection.execute(select(JOB.c.dataset_id).order_by(JOB.c.id.desc()).limit(1)).scalar()
        if newest is None:
            raise UserError("there is no job yet; make one with `tts-jobs run FILE`")
        return int(newest)
    named = DATASET.c.name == wanted
    is_number = wanted.isdecimal() and len(wanted) < 19
    rows = connection.execute(
        select(DATASET.c.id, DATASET.c.name, DATASET.c.problem_count).order_by(DATASET.c.id)
    ).all()
    found = list(connection.execute(select(DATASET.c.id).where(named).order_by(DATASET.c.id)).scalars())
    if not found and is_number:
        found = [row.id for row in rows if row.id == int(wanted)]
    if not found:
        there = ", ".join(sorted({row.name for row in rows})) or "none yet"
        raise UserError(f"no dataset {wanted!r}; there is {there}")
    if len(found) > 1:
        sizes = ", ".join(f"{row.id} ({row.problem_count} problems)" for row in rows if row.id in found)
        raise UserError(f"several datasets are called {wanted!r}: {sizes}; name one by its number")
    return int(found[0])


def dataset_of(connection: Connection, job_id: int) -> int:
    """The id of the dataset that a job answers."""
    found: int = connection.execute(select(JOB.c.dataset_id).where(JOB.c.id == job_id)).scalar_one()
    return found


def parameters_of(connection: Connection, job_id: int) -> dict[str, Any]:
    """The parameters of a job's strategy."""
    written = connection.execute(select(JOB.c.specification).where(JOB.c.id == job_id)).scalar_one()
    return JobSpecification(**written).parameters


def generator_size(connection: Connection, job_id: int) -> int | None:
    """Parameters of a job's generator that a token is multiplied with (`Architecture.parameters`); None: not known."""
    written = connection.execute(select(JOB.c.specification).where(JOB.c.id == job_id)).scalar_one()
    architecture = job_costs(connection, JobSpecification(**written)).architecture
    return None if architecture is None else architecture.parameters


def align_dataset(connection: Connection, dataset_id: int, unit: str, prices: Prices = AS_BOOKED) -> Aligned:
    """All jobs of a dataset that are done and no oracle. The others, and those whose cost is not known, are listed.

    Raises:
        UserError: none is left, or no problem was graded in all of them.
    """
    chosen = select(JOB.c.id).where(JOB.c.dataset_id == dataset_id).order_by(JOB.c.id)
    runs = _runs(connection, list(connection.execute(chosen).scalars()))
    kept, left_out = [], []
    for run in runs:
        if run.oracle:
            left_out.append(LeftOut(run, "it read the reference answers; name it to take it in"))
        elif run.state != "done":
            left_out.append(LeftOut(run, f"it is {run.state}; name it to take it in as far as it is"))
        else:
            kept.append(run)
    return _align(connection, dataset_id, kept, left_out, unit, prices)


def align_jobs(connection: Connection, job_ids: Sequence[int], unit: str, prices: Prices = AS_BOOKED) -> Aligned:
    """These jobs, in this order, whatever their states; oracles are labelled.

    Raises:
        UserError: they are of several datasets, no cost is known, or no problem was graded in all of them.
    """
    rows = connection.execute(select(JOB.c.id, JOB.c.dataset_id).where(JOB.c.id.in_(list(job_ids))))
    home: dict[int, int] = {row.id: row.dataset_id for row in rows}
    first = job_ids[0]
    for job_id in job_ids:
        if home[job_id] != home[first]:
            raise UserError(
                f"jobs {first} and {job_id} answered different datasets; only jobs of the same one can be compared"
            )
    order = list(dict.fromkeys(job_ids))
    runs = sorted(_runs(connection, order), key=lambda run: order.index(run.job_id))
    return _align(connection, home[first], runs, [], unit, prices)


def _align(
    connection: Connection,
    dataset_id: int,
    runs: Sequence[Run],
    left_out: list[LeftOut],
    unit: str,
    prices: Prices,
) -> Aligned:
    dataset = connection.execute(
        select(DATASET.c.name, DATASET.c.problem_count).where(DATASET.c.id == dataset_id)
    ).one()
    kept, found = [], []
    for run in runs:
        problems, right, cost = _graded(connection, run.job_id, unit, prices)
        if not len(problems):
            left_out.append(LeftOut(run, "none of its answers could be graded"))
        elif np.isnan(cost).any():
            left_out.append(LeftOut(run, _unknown(connection, run.job_id, unit, prices)))
        else:
            kept.append(run)
            found.append((problems, right, cost))
    if not kept:
        why = "; ".join(dict.fromkeys(one.reason for one in left_out)) or "it has none"
        cure = "give --gpu-hour or --prices" if unit == "usd" and runs else "run one, or name one with --job"
        raise UserError(f"{dataset.name}: there is no job to decide on ({why}); {cure}")
    common = found[0][0]
    for problems, _, _ in found[1:]:
        common = np.intersect1d(common, problems, assume_unique=True)
    if not len(common):
        raise UserError(f"{dataset.name}: no problem was graded in all of the jobs; name jobs that share some")
    common, groups = _in_order(connection, dataset_id, common, [run.job_id for run in kept])
    picked = [np.searchsorted(problems, common) for problems, _, _ in found]
    right = np.stack([right[rows] for rows, (_, right, _) in zip(picked, found, strict=True)], axis=1)
    cost = np.stack([cost[rows] for rows, (_, _, cost) in zip(picked, found, strict=True)], axis=1)
    return Aligned(dataset.name, dataset.problem_count, unit, kept, right, cost, groups, left_out)


def _runs(connection: Connection, job_ids: Sequence[int]) -> list[Run]:
    fields = Run.__slots__
    return [Run(**{name: row[name] for name in fields}) for row in job_summaries(connection, job_ids)]


def _graded(
    connection: Connection, job_id: int, unit: str, prices: Prices
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ids of the graded problems in their order, 1.0 where right, and the cost, NaN where that is not known."""
    # Dollars are not the view's, which adds up what has a price: a part without one makes the whole unknown.
    column = "" if unit == "usd" else f", {COLUMNS[unit]} AS cost"
    rows: Any = connection.execute(text(GRADED.format(cost=column)), {"job": job_id}).all()
    if unit == "usd":
        dollars = dollars_by_query(connection, job_id, prices)
        costs = [dollars.get(row.query_id) for row in rows]
    else:
        costs = [None if row.cost is None else float(row.cost) for row in rows]
    return (
        np.array([row.problem_id for row in rows], dtype=np.int64),
        np.array([bool(row.correct) for row in rows], dtype=float),
        np.array(costs, dtype=float),
    )


def _unknown(connection: Connection, job_id: int, unit: str, prices: Prices) -> str:
    if unit == "usd":
        models = ", ".join(unpriced(connection, job_id, prices))
        return f"its dollars are unknown: {models or 'its work'} has no price"
    return f"its {UNITS[unit]} are unknown"


def _in_order(
    connection: Connection, dataset_id: int, problems: np.ndarray, job_ids: Sequence[int]
) -> tuple[np.ndarray, list[str] | None]:
    """The problems in the order of the file, so that nothing depends on ids; and their levels, else their bins in the
    first job that has any."""
    chosen = set(problems.tolist())
    rows = connection.execute(
        select(PROBLEM.c.id, PROBLEM.c.level).where(PROBLEM.c.dataset_id == dataset_id).order_by(PROBLEM.c.position)
    )
    found = [(row.id, row.level) for row in rows if row.id in chosen]
    ordered = np.array([problem for problem, _ in found], dtype=np.int64)
    if any(level is not None for _, level in found):
        return ordered, ["none" if level is None else f"level {level}" for _, level in found]
    for job_id in job_ids:
        bins = connection.execute(
            text("SELECT problem_id, bin FROM query WHERE job_id = :job AND bin IS NOT NULL"), {"job": job_id}
        )
        bin_of = {row.problem_id: row.bin for row in bins}
        if bin_of:
            return ordered, [f"bin {bin_of[problem]}" if problem in bin_of else "none" for problem, _ in found]
    return ordered, None
