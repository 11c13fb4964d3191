"""`python -m benchmarks.processbench FILE [FILE] --verifier NAME`: how well a verifier finds the first wrong step.

FILE holds ProcessBench's rows (`problem`, `steps`, `label`: the index of the first wrong step, -1 for none). The
threshold is chosen on the first file and the figures are the second's; with one file, its two halves stand for them.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.first_error import ALL_RIGHT, Marked, Quality, best_threshold, quality
from models.catalogue import MODEL_FREE_VERIFIERS, find_verifier
from models.errors import UserError
from models.statistics import DRAWS, wilson
from strategies.protocols import ProblemView, QueryError, Step, TransientError
from worker.verifiers import Verifiers


@dataclass(frozen=True)
class Row:
    """One solution that people have read."""

    problem: str
    steps: tuple[str, ...]
    label: int

    @property
    def key(self) -> str:
        return hashlib.sha256(json.dumps([self.problem, self.steps]).encode()).hexdigest()[:24]


class Scores:
    """The scores that were made, in a JSONL file that is only ever appended to, so that a killed run goes on.

    They are those of one verifier's `identity`. What it could not read is not among them, and is tried again.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self._path, self._identity = path, identity
        self._known: dict[str, list[float]] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    row = json.loads(line)
                except ValueError:
                    continue  # the last line of a run that was killed
                if row["verifier"] == identity:
                    self._known[row["key"]] = row["scores"]

    def __contains__(self, row: Row) -> bool:
        return row.key in self._known

    def of(self, row: Row) -> list[float] | None:
        return self._known.get(row.key)

    def add(self, row: Row, scores: list[float]) -> None:
        self._known[row.key] = scores
        with self._path.open("a") as file:
            file.write("\n" + json.dumps({"verifier": self._identity, "key": row.key, "scores": scores}))


def read_rows(path: Path) -> list[Row]:
    """Raises UserError where the file is missing or one of its rows is not ProcessBench's; the message names it."""
    try:
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, list):
            raise UserError(f"{path}: this is no list of rows; give a file of ProcessBench, such as gsm8k.json")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a file of ProcessBench") from None
    except ValueError:
        raise UserError(f"{path}: this is not JSON; give a file of ProcessBench, such as gsm8k.json") from None
    return [_row(path, number, row) for number, row in enumerate(found, 1)]


def _row(path: Path, number: int, row: Any) -> Row:
    try:
        made = Row(row["problem"], tuple(row["steps"]), row["label"])
        sound = isinstance(made.problem, str) and all(isinstance(step, str) for step in made.steps)
        if sound and made.steps and type(made.label) is int and ALL_RIGHT <= made.label < len(made.steps):
            return made
    except (KeyError, TypeError):
        pass
    raise UserError(f"{path} row {number}: needs a problem, steps, and as label the index of a step or -1; correct it")


async def score(rows: Sequence[Row], name: str, scores: Scores, console: Console) -> None:
    """Have the verifier read what it has not read yet, one solution after the other.

    Raises:
        QueryError, TransientError: it cannot be started, or reads none of them.
    """
    verifiers = Verifiers()
    missing = {row.key: row for row in rows if row not in scores}.values()
    unread: list[QueryError] = []
    try:
        for number, row in enumerate(missing, 1):
            verifier, _ = await verifiers.find(name, None, _never)
            steps = [Step(step + "\n\n") for step in row.steps]
            try:
                scores.add(row, list((await verifier.score(ProblemView(row.key, row.problem), steps)).steps))
            except QueryError as error:
                unread.append(error)
            if number % 50 == 0:
                console.print(f"{number} of {len(missing)} solutions read")
    finally:
        await verifiers.close()
    if unread and not any(row in scores for row in rows):
        raise unread[0]
    if unread:
        console.print(f"{len(unread)} solutions could not be read and count as judged wrongly; the first: {unread[0]}")


async def _never(text: str, reference: str) -> bool:
    raise AssertionError("no oracle is measured")


def interval(found: Quality, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the F1; erroneous and correct solutions are resampled apart."""
    rng = random.Random(seed)

    def resampled(hits: int, of: int) -> int:
        return sum(rng.random() < hits / of for _ in range(of))

    drawn = sorted(
        Quality(
            resampled(found.found, found.erroneous),
            found.erroneous,
            resampled(found.passed, found.correct),
            found.correct,
        ).f1
        for _ in range(DRAWS)
    )
    return drawn[round(0.025 * DRAWS)], drawn[round(0.975 * DRAWS) - 1]


def summary(marked: Sequence[Marked], threshold: float) -> Table:
    found = quality(marked, threshold)
    table = Table("judged", "solutions", "as people did", "share (95 % interval)")
    for what, hits, of in (
        ("first wrong step", found.found, found.erroneous),
        ("none wrong", found.passed, found.correct),
    ):
        low, high = wilson(hits, of)
        table.add_row(what, str(of), str(hits), f"{hits / of:.1%} ({low:.1%} to {high:.1%})")
    low, high = interval(found)
    table.add_row("F1", str(len(marked)), "", f"{found.f1:.1%} ({low:.1%} to {high:.1%})")
    return table


def measure(files: Sequence[Path], name: str, most: int | None, home: Path, console: Console) -> None:
    """Score, choose the threshold, and print.

    Raises:
        UserError: a file or the verifier is not what can be measured.
    """
    # The published files hold the erroneous solutions first.
    sets = [random.Random(0).sample(rows, min(most or len(rows), len(rows))) for rows in map(read_rows, files)]
    if name in MODEL_FREE_VERIFIERS:
        raise UserError(f"--verifier: {name} is no model that reads solutions; name one that is")
    model = find_verifier(name)
    assert model is not None, "those without a model are refused above"
    home.mkdir(parents=True, exist_ok=True)
    scores = Scores(home / "processbench.jsonl", f"{name} {model.identity}")
    asyncio.run(score([row for rows in sets for row in rows], name, scores, console))
    chosen, reported = sets if len(sets) == 2 else _halves(sets[0])
    judged = [[Marked(row.label, scores.of(row)) for row in rows] for rows in (chosen, reported)]
    try:
        threshold = best_threshold(judged[0])
        table = summary(judged[1], threshold)
        before = quality(judged[0], threshold).f1
    except ValueError as error:
        raise UserError(f"{files[0]}: {error}; take more --problems") from None
    console.print(f"threshold {threshold:.4g}, chosen on {len(chosen)} solutions (F1 {before:.1%} there)")
    console.print(table)


def _halves(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Two parts, each with half of the erroneous solutions and half of the correct ones."""
    ordered = sorted(rows, key=lambda row: row.label == ALL_RIGHT)
    return ordered[::2], ordered[1::2]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processbench", description=__doc__)
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help="none of them comes with this repository")
    parser.add_argument("--verifier", required=True, help="as of a job: tiny-prm, judge:NAME, ...")
    parser.add_argument("--problems", type=int, help="only so many rows of each file, at random but always the same")
    parser.add_argument(
        "--scores", type=Path, default=Path(".tts-jobs"), help="folder of the scores; a killed run goes on"
    )
    options = parser.parse_args(arguments)
    try:
        if len(options.files) > 2:
            raise UserError("FILE: one file or two; the threshold is chosen on the first and reported on the second")
        console = Console(width=None if sys.stdout.isatty() else 110)
        measure(options.files, options.verifier, options.problems, options.scores, console)
    except (UserError, QueryError, TransientError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
