"""An index of when queries ended, from which it is counted how many did lately."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ENDED = sa.text("ended_at IS NOT NULL")


def upgrade() -> None:
    op.execute("DELETE FROM snapshot")  # They lack what is counted now; the scheduler takes them anew.
    op.create_index("query_by_end", "query", ["job_id", "ended_at"], sqlite_where=ENDED, postgresql_where=ENDED)


def downgrade() -> None:
    op.drop_index("query_by_end", table_name="query")
