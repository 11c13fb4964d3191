"""Logging of the long-running commands."""

from __future__ import annotations

import logging


def configure(level: str) -> None:
    """Log to stderr, one line an event; libraries speak up only when something is wrong."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if level != "DEBUG":
        # Celery writes two lines for every task it runs.
        for name in ("alembic", "celery.worker.strategy", "celery.app.trace"):
            logging.getLogger(name).setLevel(logging.WARNING)
