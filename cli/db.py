"""`tts-jobs db`: the schema."""

from __future__ import annotations

import click

from cli import output
from models.database import Database, current_version
from models.database import upgrade as migrate
from models.settings import settings


@click.group()
def db() -> None:
    """Migrate the database, or tell its version."""


@db.command()
@output.json_option
def upgrade(as_json: bool) -> None:
    """Migrate TTS_DATABASE_URL (the SQLite file by default) to this version's schema.

    \b
    Example:
      TTS_DATABASE_URL=postgresql://me@localhost/tts tts-jobs db upgrade
    """
    database = Database(settings().database)
    _say(database, migrate(database), as_json)


@db.command()
@output.json_option
def version(as_json: bool) -> None:
    """The schema's version."""
    database = Database(settings().database)
    _say(database, current_version(database), as_json)


def _say(database: Database, version: str | None, as_json: bool) -> None:
    if as_json:
        output.print_json({"database": database.label, "schema": version})
    else:
        output.console.print(f"{output.safe(database.label)}: schema {version or 'missing'}")
