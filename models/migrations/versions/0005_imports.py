"""Imported recordings: where a job comes from, and costs that nobody has told."""

import re
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UNKNOWABLE: dict[str, dict[str, sa.types.TypeEngine[Any]]] = {
    "usage": {
        "prompt_tokens": sa.Integer(),
        "canonical_prompt_tokens": sa.Integer(),
        "generated_tokens": sa.Integer(),
        "scored_tokens": sa.Integer(),
        "gpu_seconds": sa.Float(),
    },
    "candidate": {"prompt_tokens": sa.Integer(), "generated_tokens": sa.Integer(), "gpu_seconds": sa.Float()},
    "query": {"sequential_tokens": sa.Integer()},
}


def upgrade() -> None:
    op.add_column("job", sa.Column("imported_from", sa.Text(), nullable=True))
    for table, columns in UNKNOWABLE.items():
        _rewrite(table, columns, nullable=True)


def downgrade() -> None:
    imported = "(SELECT id FROM job WHERE imported_from IS NOT NULL)"
    for table in ("usage", "candidate", "query"):
        op.execute(f"DELETE FROM {table} WHERE job_id IN {imported}")  # noqa: S608  (names of ours)
    op.execute("DELETE FROM job WHERE imported_from IS NOT NULL")
    for table, columns in UNKNOWABLE.items():
        _rewrite(table, columns, nullable=False)
    op.drop_column("job", "imported_from")


def _rewrite(table: str, columns: dict[str, sa.types.TypeEngine[Any]], *, nullable: bool) -> None:
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        for name, kind in columns.items():
            op.alter_column(table, name, existing_type=kind, nullable=nullable)
        return
    # Copying a table that others refer to would need the foreign keys off, which no transaction may do. NOT NULL is in no
    # row, so the schema's text alone is changed: https://www.sqlite.org/lang_altertable.html#otheralter
    stored = connection.exec_driver_sql(f"SELECT sql FROM sqlite_master WHERE name = '{table}'").scalar_one()  # noqa: S608
    for name, kind in columns.items():
        typed = kind.compile(dialect=connection.dialect)
        before, after = (f"{name} {typed}{end}" for end in (" NOT NULL", "")[:: 1 if nullable else -1])
        stored, found = re.subn(rf"\b{before}(?=[,\s)])", after, stored)
        assert found == 1, (table, name)
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    connection.exec_driver_sql("UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = ?", (stored, table))
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")
