"""Stages: what a query's samples show, what was decided on that and why, and in which order queries are served."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("query", sa.Column("final", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("query", sa.Column("gain", sa.Float(), nullable=False, server_default="1.0"))
    op.add_column("query", sa.Column("evidence", sa.JSON(), nullable=True))
    op.add_column("query", sa.Column("decisions", sa.JSON(), nullable=True))
    op.add_column("query", sa.Column("confidence", sa.Float(), nullable=True))
    op.create_index("query_by_gain", "query", ["job_id", "state", "gain", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("query_by_gain", table_name="query")
    for name in ("confidence", "decisions", "evidence", "gain", "final"):
        op.drop_column("query", name)
