"""Sums of large jobs, and indexes of the few rows that tell of trouble."""

import sqlalchemy as sa
from alembic import op

from models.sqltypes import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

FEW = {
    "query_in_trouble": ("query", "suspect > 0 OR not_before IS NOT NULL"),
    "attempt_lost": ("attempt", "state = 'lost'"),
    "usage_wasted": ("usage", "disposition = 'wasted'"),
}


def upgrade() -> None:
    op.create_table(
        "snapshot",
        sa.Column(
            "job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.ForeignKey("job.id"), primary_key=True
        ),
        sa.Column("taken_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("due_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("job_state", sa.String(), nullable=False),
        sa.Column("sums", sa.JSON(), nullable=False),
    )
    for name, (table, where) in FEW.items():
        op.create_index(name, table, ["job_id"], sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    for name, (table, _) in FEW.items():
        op.drop_index(name, table_name=table)
    op.drop_table("snapshot")
