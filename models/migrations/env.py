"""Alembic's entry: migrates over the connection it is handed by `models.database.upgrade`."""

from alembic import context
from sqlmodel import SQLModel

import models.tables  # noqa: F401  (fills SQLModel.metadata)

context.configure(
    connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
