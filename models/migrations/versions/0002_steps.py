"""Steps of a search: the token ids that they are continued by."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("candidate", sa.Column("tokens", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("candidate", "tokens")
