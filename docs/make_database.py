"""Writes docs/database.md from the schema: `python -m docs.make_database` in the repository's root."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import inspect
from sqlmodel import SQLModel

from models import columns, view_columns
from models.columns import Column
from models.database import Database, upgrade
from models.sqltypes import AnyText, UtcDateTime
from models.views import VIEWS

PAGE = Path(__file__).parent / "database.md"
QUERIES = Path(__file__).parent / "queries"
"""One example a file: what it is for in the comment at the top, then the statement."""

INTRODUCTION = """\
# The database

This page is made from the schema, `models/columns.py`, `models/view_columns.py` and `docs/queries` by
`python -m docs.make_database`.

Everything a job was asked to do, did and cost is in one database: a SQLite file (`.tts-jobs/tts-jobs.db` unless
`TTS_HOME` or `TTS_DATABASE_URL` says otherwise) or PostgreSQL. The schema is the same on both. Reading it by hand is
welcome, also while jobs run; writing is not: every change of state is one guarded statement in
`models/transitions/`, and a hand-made one breaks its promises.

    sqlite3 .tts-jobs/tts-jobs.db
    psql "$TTS_DATABASE_URL"

NULL means *unknown*, *not yet* or *none*, never zero: a sum of which one part is unknown is unknown, but for
`dollars`, as said there. Times are UTC. JSON columns hold text on SQLite (`json_extract`) and `json` on PostgreSQL (`->>`). A
column without a unit is no quantity.

Start with the three views; go to the tables for what they leave out. For rows in files instead, `tts-jobs results` writes
[JSON lines, CSV and Parquet](datasets.md#results-as-files).
"""

ABOUT = {
    "job_summary": "One row per job: where it stands.",
    "cost_accuracy": """\
One row per job: what it cost and what it got. What another job had paid for and this one reused counts in full where
two jobs are compared, and not at all in what was spent.""",
    "query_cost": "One row per query: what it cost.",
    "dataset": "A set of problems, loaded once.",
    "problem": "One prompt of a dataset.",
    "model_specification": "A generator or verifier as it was used.",
    "policy": "A calibrated policy: which strategy for which difficulty and budget.",
    "job": "A dataset under one specification.",
    "snapshot": "The sums of a job of more than 20,000 queries, for `status` and `watch`, which wait for none of them.",
    "query": "One problem inside one job.",
    "attempt": "One try of a worker at a stage of a query.",
    "candidate": "One solution, or one step of one.",
    "usage": """\
The ledger: one row per attempt, phase, model, disposition and whether it was reused. The sum of a job's rows that are not
`reused`, in the unit of its cap, is its `spent`. A worker's idle time is a row of its own, so that the rows add up to the
time for which engines were held.""",
    "worker": "A process and its last heartbeat.",
}

EXAMPLES = """\
## Examples

Each can be pasted into `sqlite3` or `psql` as it is; `docs/queries` has them as files:

    sqlite3 -header -column .tts-jobs/tts-jobs.db < docs/queries/01-cost-and-accuracy.sql
    psql "$TTS_DATABASE_URL" -f docs/queries/01-cost-and-accuracy.sql

Where one is about the newest finished job, put a job's number in place of the `SELECT MAX(id) ...` for another.
"""


def render() -> str:
    """The whole page.

    Raises:
        ValueError: a column is not described, or one that is described is not there.
    """
    found = view_columns_of_schema()
    if faults := undescribed(found):
        raise ValueError("; ".join(faults))
    parts = [INTRODUCTION, "## Views\n"]
    for name in reversed(VIEWS):
        rows = [((f"`{column}`",), view_columns.VIEWS[name][column]) for column in found[name]]
        parts.append(_section(name, ("column",), rows))
    parts.append("## Tables\n")
    for name, described in columns.TABLES.items():
        cells = [((f"`{one.name}`", _type(one)), described[one.name]) for one in SQLModel.metadata.tables[name].columns]
        parts.append(_section(name, ("column", "type"), cells))
    parts.append(EXAMPLES)
    parts += [f"{said}\n\n```sql\n{statement}\n```\n" for said, statement in examples().values()]
    return "\n".join(parts)


def view_columns_of_schema() -> dict[str, list[str]]:
    """View -> its columns in order, as a new database has them."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/schema.db")
        try:
            upgrade(database)
            with database.reading() as connection:
                schema = inspect(connection)
                return {name: [column["name"] for column in schema.get_columns(name)] for name in VIEWS}
        finally:
            database.close()


def undescribed(views: Mapping[str, Sequence[str]]) -> list[str]:
    """What the descriptions lack, and what they have too much, a sentence each."""
    tables = {table.name: list(table.columns.keys()) for table in SQLModel.metadata.sorted_tables}
    faults = []
    for where, there, described in (
        ("models/columns.py: TABLES", tables, columns.TABLES),
        ("models/view_columns.py: VIEWS", views, view_columns.VIEWS),
    ):
        for name in sorted(there.keys() | described.keys()):
            real, said = set(there.get(name, ())), set(described.get(name, ()))
            faults += [f"{where} does not describe {name}.{column}" for column in sorted(real - said)]
            faults += [f"{where} describes {name}.{column}, which is not there" for column in sorted(said - real)]
    return faults


def examples() -> dict[str, tuple[str, str]]:
    """File name without number and ending -> (what it is for, the statement)."""
    found = {}
    for path in sorted(QUERIES.glob("*.sql")):
        lines = path.read_text("utf-8").splitlines()
        said = [line for line in lines if line.startswith("-- ")]
        statement = "\n".join(lines[len(said) :])
        found[re.sub(r"^\d+-", "", path.stem)] = ("\n".join(line[3:] for line in said), statement)
    return found


def _section(name: str, heads: tuple[str, ...], rows: Sequence[tuple[tuple[str, ...], Column]]) -> str:
    lines = [f"### `{name}`\n", f"{ABOUT[name]}\n"]
    lines.append("| " + " | ".join((*heads, "unit", "meaning")) + " |")
    lines.append("| " + " | ".join("---" for _ in (*heads, "unit", "meaning")) + " |")
    lines += ["| " + " | ".join((*cells, said.unit, said.meaning)) + " |" for cells, said in rows]
    return "\n".join(lines) + "\n"


def _type(column: Any) -> str:
    """In words that fit both databases, with what it refers to and whether it can be NULL."""
    kinds = {AnyText: "text", UtcDateTime: "time"}
    words = {"VARCHAR": "text", "TEXT": "text", "BIGINT": "integer", "INTEGER": "integer", "FLOAT": "real"}
    kind = kinds.get(type(column.type)) or words.get(str(column.type), str(column.type).lower())
    refers = "".join(f" → `{key.target_fullname}`" for key in column.foreign_keys)
    return f"{kind}{refers}{', NULL' if column.nullable else ''}"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
