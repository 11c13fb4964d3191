"""The live view of a job: done and failed, accuracy so far, tokens/s, FLOPs, dollars, time to go."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli import output
from cli.accuracy import accuracy_so_far
from models import snapshots
from models.database import Database

REFRESH_SECONDS = 0.5
RATE_SECONDS = 20.0


class JobView:
    """Reads a job's state and shows it; rates are over the last twenty seconds."""

    def __init__(self, database: Database, job_id: int) -> None:
        self._database = database
        self._job_id = job_id
        self._history: deque[tuple[float, int, int | None]] = deque()

    def read(self) -> dict[str, Any]:
        """One snapshot: the job's summary, what it spent, and the rates."""
        with self._database.reading() as connection:
            summary = snapshots.summaries(connection, [self._job_id])[0]
            spent = snapshots.spending(connection, self._job_id)
        now, ended = time.monotonic(), summary["done"] + summary["failed"] + summary["cancelled"]
        self._history.append((now, ended, spent["generated_tokens"]))
        while now - self._history[0][0] > RATE_SECONDS:
            self._history.popleft()
        first = self._history[0]
        known = spent["generated_tokens"] is not None and first[2] is not None
        elapsed = now - first[0]
        per_second = (ended - first[1]) / elapsed if elapsed else 0.0
        left = summary["queries"] - ended
        return {
            **summary,
            **spent,
            "ended": ended,
            "tokens_per_second": None
            if not known
            else (spent["generated_tokens"] - first[2]) / elapsed
            if elapsed
            else 0.0,
            "eta_seconds": left / per_second if per_second else None,
        }

    def render(self, seen: dict[str, Any]) -> Group:
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            Text(f"job {seen['job_id']} {output.safe(seen['name'])}", style="bold"),
            ProgressBar(total=max(seen["queries"], 1), completed=seen["ended"], width=30),
            f"{seen['done']}/{seen['queries']} done"
            + (f", [red]{seen['failed']} failed[/red]" if seen["failed"] else ""),
        )
        facts = [
            accuracy_so_far(seen),
            f"{_rate(seen)} tokens/s",
            f"{output.count(seen['flops'])} FLOPs",
            *([output.dollars(seen["dollars"])] if seen["dollars"] is not None else []),
            f"to go {output.duration(seen['eta_seconds'])}",
        ]
        return Group(bar, Text("  " + "   ".join(facts), style="dim"))

    def follow(self, is_over: Callable[[dict[str, Any]], bool], *, quiet: bool = False) -> dict[str, Any]:
        """Show the job until `is_over`; returns the last snapshot. On a pipe, one line every ten seconds."""
        seen = self.read()
        if quiet or not output.notes.is_terminal:
            said = time.monotonic()
            while not is_over(seen):
                time.sleep(REFRESH_SECONDS)
                seen = self.read()
                if not quiet and time.monotonic() - said > 10:
                    said = time.monotonic()
                    output.notes.print(line(seen))
            return seen
        with Live(self.render(seen), console=output.notes, refresh_per_second=4, transient=True) as live:
            while not is_over(seen):
                time.sleep(REFRESH_SECONDS)
                seen = self.read()
                live.update(self.render(seen))
        return seen


def line(seen: dict[str, Any]) -> str:
    return (
        f"job {seen['job_id']}: {seen['done']}/{seen['queries']} done, {seen['failed']} failed, "
        f"{accuracy_so_far(seen)}, {_rate(seen)} tokens/s, to go {output.duration(seen['eta_seconds'])}"
    )


def _rate(seen: dict[str, Any]) -> str:
    return "unknown" if seen["tokens_per_second"] is None else f"{seen['tokens_per_second']:.0f}"
