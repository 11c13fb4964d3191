"""What a report says, as lines and tables: printed in a terminal or written as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cli import output

_MARKS = re.compile(r"[\\`*_{}\[\]<>#|~]")


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence; `style` is rich's, for the terminal alone."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of (heading, "left" | "right") columns; a cell of None is shown as -."""

    title: str | None
    columns: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[Any]]


def print_blocks(blocks: Iterable[Line | Sheet]) -> None:
    """Lines and tables on the terminal, an empty line before a table with a title, which may be wider than it."""
    for block in blocks:
        if isinstance(block, Line):
            output.console.print(output.safe(block.text), style=block.style or None, soft_wrap=True)
            continue
        if block.title:
            output.console.print(f"\n{output.safe(block.title)}", style="italic", soft_wrap=True)
        output.console.print(output.table(None, block.columns, block.rows))


def as_markdown(blocks: Iterable[Line | Sheet]) -> str:
    """The same in Markdown; what a dataset or a model wrote is text there too, never a mark."""
    return "\n".join(_sheet(block) if isinstance(block, Sheet) else f"{_plain(block.text)}\n" for block in blocks)


def _sheet(sheet: Sheet) -> str:
    title = f"**{_plain(sheet.title)}**\n\n" if sheet.title else ""
    head = _row([heading for heading, _ in sheet.columns])
    rule = "| " + " | ".join("---:" if side == "right" else "---" for _, side in sheet.columns) + " |\n"
    return title + head + rule + "".join(map(_row, sheet.rows))


def _row(cells: Sequence[Any]) -> str:
    return "| " + " | ".join("-" if cell is None else _plain(str(cell)) for cell in cells) + " |\n"


def _plain(text: str) -> str:
    """Indentation shows the parts of a sum, and Markdown would swallow it."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    inner = shown.lstrip(" ")
    return "&nbsp;" * (len(shown) - len(inner)) + _MARKS.sub(r"\\\g<0>", inner.replace("&", "&amp;"))
