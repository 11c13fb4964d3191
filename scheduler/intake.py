"""Intake: a dataset becomes problems, problems become a job's queries, in batches that hold no lock for long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Protocol

from sqlalchemy import Connection, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from models import tables
from models.database import Database
from models.errors import UserError
from models.transitions import QUERY, table
from scheduler.fields import BadRow, Row

DATASET = table(tables.Dataset)
PROBLEM = table(tables.Problem)
BATCH = 2000
MOST_BAD_ROWS_KEPT = 100

Progress = Callable[[str, int], None]
"""Is told what is being done ("checking", "loading", "opening") and how many rows have been."""


class Problems(Protocol):
    """What a dataset is loaded from, any number of times: a reader of it, or the problems of a recording."""

    name: str

    def rows(self) -> Iterator[Row | BadRow]:
        """The rows by their rising numbers, bad ones among them."""
        ...

    def content_hash(self) -> str:
        """Names what the rows hold."""
        ...

    def describe(self) -> str:
        """One line on where they come from."""
        ...

    def where(self, number: int) -> str:
        """A row's place for messages."""
        ...


def load_dataset(database: Database, reader: Problems, *, skip_bad: bool, progress: Progress) -> tuple[int, str]:
    """Load a dataset once; an interrupted load is continued. Returns its row id and content hash.

    The whole file is checked before the first row is written, so that a bad one leaves nothing half-done.

    Raises:
        UserError: a bad row (unless `skip_bad`) or a duplicate key, named by its line.
    """
    content_hash = reader.content_hash()
    with database.reading() as connection:
        known = connection.execute(select(DATASET).where(DATASET.c.content_hash == content_hash)).one_or_none()
    if known is not None and known.skipped and not skip_bad:
        first = known.skipped[0]
        raise UserError(_bad(reader, BadRow(first["row"], first["reason"])))
    if known is not None and known.state == "ready":
        return known.id, content_hash
    bad = _check(reader, skip_bad, progress)
    dataset_id = known.id if known is not None else _create(database, reader, content_hash, bad)
    _load(database, reader, dataset_id, known.loaded if known is not None else 0, progress)
    return dataset_id, content_hash


def load_queries(database: Database, job_id: int, dataset_id: int, progress: Progress) -> int:
    """Make one query for each problem of the dataset; repeated or interrupted, each is made once. Returns how many."""
    with database.reading() as connection:
        last = connection.execute(
            select(func.max(PROBLEM.c.position)).where(PROBLEM.c.dataset_id == dataset_id)
        ).scalar_one()
    for start in range(0, (last or 0) + 1, BATCH):
        with database.transaction() as connection:
            problems = select(
                literal(job_id, QUERY.c.job_id.type), PROBLEM.c.id, *(_default(name) for name in _QUERY_DEFAULTS)
            ).where(PROBLEM.c.dataset_id == dataset_id, PROBLEM.c.position >= start, PROBLEM.c.position < start + BATCH)
            columns = ["job_id", "problem_id", *_QUERY_DEFAULTS]
            upsert = _insert(connection, QUERY).from_select(columns, problems.order_by(PROBLEM.c.position))
            connection.execute(upsert.on_conflict_do_nothing(index_elements=["job_id", "problem_id"]))
        progress("opening", start + BATCH)
    with database.reading() as connection:
        return connection.execute(select(func.count()).where(QUERY.c.job_id == job_id)).scalar_one()


def references(connection: Connection, dataset_id: int) -> tuple[int, int]:
    """How many problems a dataset has, and how many of them have a reference answer."""
    total, referenced = connection.execute(
        select(func.count(), func.count(PROBLEM.c.answer)).where(PROBLEM.c.dataset_id == dataset_id)
    ).one()
    return total, referenced


_QUERY_DEFAULTS = {
    "state": "pending", "planned": False, "stage": 0, "final": True, "gain": 1.0, "attempt": 0, "retries": 0, "suspect": 0, "sequences": 1,
    "reserved": 0.0, "sequential_tokens": 0,
}  # fmt: skip


def _default(name: str) -> Any:
    return literal(_QUERY_DEFAULTS[name], QUERY.c[name].type)


def _check(reader: Problems, skip_bad: bool, progress: Progress) -> list[dict[str, Any]]:
    bad: list[dict[str, Any]] = []
    good = 0
    for count, row in enumerate(reader.rows(), start=1):
        if isinstance(row, BadRow):
            if not skip_bad:
                raise UserError(_bad(reader, row))
            if len(bad) < MOST_BAD_ROWS_KEPT:
                bad.append({"row": row.number, "reason": row.reason})
        else:
            good += 1
        if count % BATCH == 0:
            progress("checking", count)
    if not good:
        raise UserError(f"{reader.name}: no usable row; correct the file")
    return bad


def _bad(reader: Problems, row: BadRow) -> str:
    return f"{reader.where(row.number)}: {row.reason}; correct it, or leave such rows out with --skip-bad"


def _create(database: Database, reader: Problems, content_hash: str, bad: list[dict[str, Any]]) -> int:
    with database.transaction() as connection:
        connection.execute(
            _insert(connection, DATASET)
            .values(
                name=reader.name, source=reader.describe(), content_hash=content_hash, state="loading", loaded=0,
                problem_count=0, skipped=bad or None, created_at=database.clock.now(connection),
            )
            .on_conflict_do_nothing(index_elements=["content_hash"])
        )  # fmt: skip
        dataset_id: int = connection.execute(
            select(DATASET.c.id).where(DATASET.c.content_hash == content_hash)
        ).scalar_one()
        return dataset_id


def _load(database: Database, reader: Problems, dataset_id: int, loaded: int, progress: Progress) -> None:
    for batch in _batches(_good(reader)):
        end = batch[-1].number
        if end <= loaded:
            continue
        with database.transaction() as connection:
            # A batch that another process or an interrupted run has written is left as it is.
            connection.execute(
                _insert(connection, PROBLEM).on_conflict_do_nothing(),
                [
                    {
                        "dataset_id": dataset_id, "position": row.number, "key": row.key, "prompt": row.prompt,
                        "answer": row.answer, "subject": row.subject, "level": row.level,
                    }
                    for row in batch
                ],
            )  # fmt: skip
            stored = connection.execute(
                select(func.count()).where(
                    PROBLEM.c.dataset_id == dataset_id, PROBLEM.c.position >= batch[0].number, PROBLEM.c.position <= end
                )
            ).scalar_one()
            duplicate = _duplicate(connection, dataset_id, batch) if stored != len(batch) else None
            if duplicate is None:
                connection.execute(
                    update(DATASET).where(DATASET.c.id == dataset_id, DATASET.c.loaded < end).values(loaded=end)
                )
        if duplicate is not None:
            _discard(database, dataset_id)
            row, earlier = duplicate
            raise UserError(
                f"{reader.where(row.number)}: key {row.key!r} is already that of {reader.where(earlier)}; "
                "make the keys unique"
            )
        progress("loading", end)
    with database.transaction() as connection:
        count = connection.execute(select(func.count()).where(PROBLEM.c.dataset_id == dataset_id)).scalar_one()
        connection.execute(update(DATASET).where(DATASET.c.id == dataset_id).values(state="ready", problem_count=count))


def _batches(rows: Iterator[Row]) -> Iterator[tuple[Row, ...]]:
    while batch := tuple(islice(rows, BATCH)):
        yield batch


def _good(reader: Problems) -> Iterator[Row]:
    return (row for row in reader.rows() if isinstance(row, Row))


def _duplicate(connection: Connection, dataset_id: int, batch: tuple[Row, ...]) -> tuple[Row, int] | None:
    rows = connection.execute(
        select(PROBLEM.c.key, PROBLEM.c.position).where(
            PROBLEM.c.dataset_id == dataset_id, PROBLEM.c.key.in_([row.key for row in batch])
        )
    ).all()
    positions = {key: position for key, position in rows}
    return next(((row, positions[row.key]) for row in batch if positions[row.key] != row.number), None)


def _discard(database: Database, dataset_id: int) -> None:
    """Take back what was loaded before the file turned out to be unusable."""
    with database.transaction() as connection:
        connection.execute(delete(PROBLEM).where(PROBLEM.c.dataset_id == dataset_id))
        connection.execute(delete(DATASET).where(DATASET.c.id == dataset_id))


def _insert(connection: Connection, target: Any) -> Any:
    return (sqlite_insert if connection.dialect.name == "sqlite" else postgres_insert)(target)
