"""Steps of a search: the token ids that they are continued by, and how many of its calls began a solution."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("candidate", sa.Column("tokens", sa.JSON(), nullable=True))
    op.add_column("usage", sa.Column("samples", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE usage SET samples = calls WHERE phase = 'generate'")


def downgrade() -> None:
    op.drop_column("usage", "samples")
    op.drop_column("candidate", "tokens")
