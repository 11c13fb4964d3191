"""How an answer came to be chosen: its votes, the solutions that could vote, and its verifier's score."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("query", sa.Column("votes", sa.Integer(), nullable=True))
    op.add_column("query", sa.Column("voters", sa.Integer(), nullable=True))
    op.add_column("query", sa.Column("score", sa.Float(), nullable=True))


def downgrade() -> None:
    for name in ("score", "voters", "votes"):
        op.drop_column("query", name)
