"""`python -m benchmarks.grading FOLDER`: how often our grader agrees with the worked cases of other graders."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.cases import SOURCES, Case, cases
from benchmarks.conventions import WRONG, Outcome, reason
from models.errors import UserError
from models.statistics import wilson
from models.templates import load_template
from worker.grading import Grader, GradingPool

_FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$]*\$|\\\(.*?\\\)|\\\[.*?\\\]|\\[a-zA-Z]+\s*\{[^{}]*\}|\\[a-zA-Z]+", re.DOTALL)
_PROSE_WORDS = 2
_LABEL = re.compile(r"\W*[^\W\d_]{3,}\s*:|.*\banswer\b", re.IGNORECASE | re.DOTALL)


class Reader:
    """Reads and compares the sides of one kind of case by the grader of a template."""

    def __init__(self, pool: GradingPool, kind: str) -> None:
        name = {"math": "math-boxed", "number": "gsm8k-steps", "choice": "choice"}[kind]
        announced = replace(load_template(name), last_number_fallback=False)
        self._announced = Grader(announced, pool)
        self._anywhere = Grader(replace(announced, last_number_fallback=True), pool)

    async def outcome(self, case: Case) -> Outcome:
        gold, prediction = await self._read(case, case.gold), await self._read(case, case.prediction)
        if gold is None or prediction is None:
            return Outcome(case, gold, prediction, False)
        return Outcome(case, gold, prediction, await self._announced.equivalent(gold, prediction))

    async def _read(self, case: Case, side: str | None) -> str | None:
        """The answer on one side: announced in it, or the side itself; of prose the last formula or number."""
        if side is None or not case.full_texts:
            return side
        if (answer := await self._announced.extract(side)) is not None:
            return answer
        return await self._anywhere.extract(side) if case.kind == "choice" or is_prose(side) else side


def is_prose(side: str) -> bool:
    """Whether a side has words outside its formulas, so that its grader must have searched it."""
    words = re.findall(r"[^\W\d_]{2,}", _FORMULA.sub(" ", side))
    return bool(_LABEL.match(side)) or sum(word not in ("and", "or") for word in words) >= _PROSE_WORDS


async def measure(folder: Path, pool: GradingPool) -> dict[str, list[Outcome]]:
    """The outcome of every case by the name of its source, in the order of the files."""
    found = {source.name: cases(folder, source) for source in SOURCES}
    readers = {kind: Reader(pool, kind) for kind in ("math", "number", "choice")}
    return {name: [await readers[case.kind].outcome(case) for case in listed] for name, listed in found.items()}


def summary(outcomes: dict[str, list[Outcome]]) -> Table:
    table = Table("source", "cases", "agree", "agreement (95 % interval)", "aim", "our convention", "ours is wrong")
    for source in SOURCES:
        rows = outcomes[source.name]
        agreed = sum(row.agrees for row in rows)
        low, high = wilson(agreed, len(rows))
        kinds = Counter(reason(row) == WRONG for row in rows if not row.agrees)
        share = agreed / len(rows) if rows else 0.0
        table.add_row(
            source.name,
            str(len(rows)),
            str(agreed),
            f"{share:.1%} ({low:.1%} to {high:.1%})",
            f"{source.aim:.0%} {'met' if share >= source.aim else 'missed'}",
            str(kinds[False]),
            str(kinds[True]),
        )
    return table


def disagreements(outcomes: dict[str, list[Outcome]]) -> Table:
    table = Table("case", "reference", "prediction", "theirs", "ours", "reason")
    words = {True: "same", False: "different"}
    for row in (row for rows in outcomes.values() for row in rows if not row.agrees):
        table.add_row(
            f"{row.case.source} {row.case.line}",
            escape(_shown(row.gold)),
            escape(_shown(row.prediction)),
            words[row.case.expected],
            words[row.same],
            escape(reason(row)),
        )
    return table


def _shown(answer: str | None) -> str:
    return "nothing read" if answer is None else answer if len(answer) <= 80 else f"{answer[:77]}..."


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.grading",
        description=__doc__,
        epilog="example: python -m benchmarks.grading grader_cases --disagreements",
    )
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        type=Path,
        help=f"holds {', '.join(source.file for source in SOURCES)}; none of them comes with this repository",
    )
    parser.add_argument("--disagreements", action="store_true", help="also list every disagreement with its reason")
    options = parser.parse_args(arguments)
    pool = GradingPool()
    try:
        if not options.folder.is_dir():
            raise UserError(f"{options.folder}: there is no such folder; name the one that holds the files of cases")
        outcomes = asyncio.run(measure(options.folder, pool))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        pool.close()
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(summary(outcomes))
    if pool.timeouts or pool.crashes:
        console.print(f"{pool.timeouts} comparisons ran out of time, {pool.crashes} ended with their process")
    if options.disagreements:
        console.print(disagreements(outcomes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
