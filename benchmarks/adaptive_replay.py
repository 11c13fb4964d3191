"""`python -m benchmarks.adaptive_replay FILE`: adaptive consistency against uniform voting, replayed from recorded samples.

FILE has one problem a line, as JSON: its `answer` and its `completions`. They are read and compared by our own grader, and
voted on in many random orders and in the order in which they were drawn. Nothing is generated.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from models.efficiency import least_cost
from models.errors import UserError
from models.statistics import DRAWS
from models.templates import load_template
from scheduler.outcomes import Recorded
from scheduler.replay import Replay
from strategies.protocols import TokenUsage
from strategies.task import Candidate
from strategies.votes import classify
from worker.grading import GradingPool, answers_of

ORDERS = 1000
TEMPLATE = "math-boxed"
FEWEST = 4
"""Samples below which adaptive consistency never stops early."""


@dataclass(frozen=True, slots=True)
class Line:
    """A problem, its reference answer and what was sampled."""

    problem: str
    answer: str
    completions: list[str]


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """By problem, for each N from 1 on (problems, N): accuracy of a vote of N, accuracy of adaptive consistency of at most
    N, and the samples that it drew."""

    uniform: np.ndarray
    adaptive: np.ndarray
    drawn: np.ndarray


@dataclass(frozen=True, slots=True)
class Figures:
    """Means with their 95 % intervals, a bootstrap over problems. `equal`: the mean N of the cheapest mixture of uniform
    votes that is right as often as adaptive consistency; `saved` is that over `drawn`."""

    adaptive: tuple[float, float, float]
    drawn: tuple[float, float, float]
    equal: tuple[float, float, float]
    saved: tuple[float, float, float]


def read(path: Path) -> list[Line]:
    """The file's problems.

    Raises:
        UserError: there is no such file, or a line of it is no such problem.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; name one with a problem and its samples a line")
    found = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            row = json.loads(line)
            found.append(Line(str(row["problem"]), str(row["answer"]), [str(one) for one in row["completions"]]))
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{path}: line {number} is no JSON object with `problem`, `answer` and `completions`; correct it"
            ) from None
    return found


async def grade(lines: Sequence[Line], pool: GradingPool) -> list[Recorded]:
    """Their samples, read, classified and compared with the reference."""
    template, found = load_template(TEMPLATE), []
    for line in lines:
        answers = answers_of(template, pool, line.problem)
        samples = [Candidate(str(at), one, "stop", TokenUsage(0, 0, 0)) for at, one in enumerate(line.completions)]
        for sample in samples:
            sample.answer = await answers.extract(sample.text)
        await classify(samples, answers)
        verdicts: dict[str | None, bool] = {None: False}
        for answer in {one.answer for one in samples}:
            if answer is not None:
                verdicts[answer] = await answers.equivalent(answer, line.answer)
        right = [verdicts[one.answer] for one in samples]
        found.append(recorded(line.problem, [one.answer_class for one in samples], right))
    return found


def recorded(text: str, classes: Sequence[int], right: Sequence[bool]) -> Recorded:
    """A problem of which no more is known than its samples' answers; each costs 1."""
    unknown, each = np.full(len(right), np.nan), np.ones(len(right))
    return Recorded(
        key=text, text=text, level=None, answer_class=np.array(classes), right=np.array(right), score=unknown,
        logprob=unknown, weakest=unknown, tokens=each, prompt=0, prefill=0.0, drawing=each, scoring=0 * each,
        drawing_seconds=0 * each, scoring_seconds=0 * each,
    )  # fmt: skip


def vote(problems: Sequence[Recorded], orders: int | None) -> Votes:
    """In so many random orders, or in the order in which they were drawn."""
    columns = []
    for number, one in enumerate(problems):
        drawn = np.arange(one.samples)[None]
        if orders is not None:
            drawn = np.random.default_rng(number).permuted(np.tile(drawn, (orders, 1)), axis=1)
        replay, most = Replay(one, drawn), one.samples
        right = np.stack([replay.majority(n) for n in range(1, most + 1)], axis=1)
        stops = replay.settled(most)
        taken = np.minimum(stops[:, None], np.arange(1, most + 1))
        settled = np.take_along_axis(right, taken - 1, axis=1)
        columns.append((right.mean(axis=0), settled.mean(axis=0), taken.mean(axis=0)))
    uniform, adaptive, taken = (np.stack(column) for column in zip(*columns, strict=True))
    return Votes(uniform, adaptive, taken)


def figures(votes: Votes) -> Figures:
    problems, most = votes.uniform.shape
    once = np.full((1, problems), 1 / problems)
    draws = np.random.default_rng(0).multinomial(problems, once[0], size=DRAWS) / problems

    def measured(shares: np.ndarray) -> tuple[np.ndarray, ...]:
        adaptive, drawn = shares @ votes.adaptive[:, -1], shares @ votes.drawn[:, -1]
        equal = _equal(shares @ votes.uniform, adaptive, most)
        return adaptive, drawn, equal, equal / drawn

    return Figures(*(_interval(*pair) for pair in zip(measured(once), measured(draws), strict=True)))


def _interval(value: np.ndarray, resampled: np.ndarray) -> tuple[float, float, float]:
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(value[0]), float(low), float(high)


def _equal(uniform: np.ndarray, target: np.ndarray, most: int) -> np.ndarray:
    """Adaptive consistency is never right more often than the best vote by more than chance: then that vote is taken."""
    reached = np.minimum(target, uniform.max(axis=1))
    return least_cost(uniform, np.tile(np.arange(1.0, most + 1), (len(uniform), 1)), reached)


def summary(problems: Sequence[Recorded]) -> Table:
    table = Table("", f"{ORDERS} random orders", "as drawn")
    both = [vote(problems, ORDERS), vote(problems, None)]
    most = both[0].uniform.shape[1]
    for n in sorted({2**power for power in range(most.bit_length()) if 2**power <= most} | {12} & {*range(most + 1)}):
        table.add_row(f"majority vote of {n}, %", *(f"{100 * votes.uniform[:, n - 1].mean():.1f}" for votes in both))
        if n >= FEWEST:
            cells = [(100 * votes.adaptive[:, n - 1].mean(), votes.drawn[:, n - 1].mean()) for votes in both]
            table.add_row(
                f"  adaptive, at most {n}: %, samples", *(f"{right:.1f}, {drawn:.2f}" for right, drawn in cells)
            )
    found = [figures(votes) for votes in both]
    for name, attribute, scale in (
        (f"adaptive consistency, at most {most}, %", "adaptive", 100),
        ("samples it draws on average", "drawn", 1),
        ("uniform votes for the same accuracy", "equal", 1),
        ("times as many", "saved", 1),
    ):
        cells = [tuple(scale * value for value in getattr(one, attribute)) for one in found]
        table.add_row(name, *("{:.2f} ({:.2f} to {:.2f})".format(*cell) for cell in cells))
    return table


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adaptive_replay", description=__doc__)
    parser.add_argument("file", metavar="FILE", type=Path, help="recorded samples; none come with this repository")
    options = parser.parse_args(arguments)
    pool = GradingPool()
    try:
        problems = asyncio.run(grade(read(options.file), pool))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        pool.close()
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(summary(problems))
    unread = np.concatenate([one.answer_class < 0 for one in problems]).mean()
    console.print(f"{len(problems)} problems; {100 * unread:.1f} % of the samples have no readable answer")
    return 0


if __name__ == "__main__":
    sys.exit(main())
