"""How things are shown: JSON for programs, rich tables for people, numbers a person can read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

# On a pipe there is no terminal to fit into, and a table folded to 80 columns helps nobody.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
notes = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 160)

json_option: Callable[..., Any] = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def print_json(value: Any) -> None:
    json.dump(value, sys.stdout, default=_plain, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def table(title: str | None, columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]]) -> Table:
    """A table of (heading, "left" | "right") columns; cells are text from anywhere and are escaped."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading, justify in columns:
        made.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        made.add_row(*(safe("-" if cell is None else str(cell)) for cell in row))
    return made


def safe(text: str) -> str:
    """Text from a dataset, a model or a server, harmless in a terminal: no markup, no control characters."""
    return escape(
        "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)
    )


def count(value: float | None) -> str:
    """1234567 -> 1.23M."""
    if value is None:
        return "unknown"
    for size, suffix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f}"


def dollars(value: float | None) -> str:
    return "-" if value is None else f"${value:.2f}" if value >= 1 else f"${value:.4g}"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"
