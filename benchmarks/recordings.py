"""`python -m benchmarks.recordings DIR`: recordings of others, graded by a plain string match and by our equivalence.

DIR holds recorded generations in formats that `tts-jobs import` knows, in folders as deep as you like; none of them comes
with this repository. Files whose names differ only in `rs` and a number are samples of one run. Everything is kept in the
folder of --home, so that a run that was killed goes on where it was. No engine is needed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.recordings_page import write_page
from benchmarks.string_match import plain, read_plainly
from cli.importing import import_recording
from models.database import Database, upgrade
from models.errors import UserError
from models.recorded import Recorded
from scheduler.readers import Source, file_source
from scheduler.recordings.gathering import gather
from scheduler.recordings.imports import Wish
from scheduler.recordings.layouts import LAYOUTS

_SAMPLE_FILE = re.compile(r"rs\d+")
_RULES = ("majority_vote", "best_of_n", "weighted_vote")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a run, each a share of its problems that have a reference, or None where it cannot be had: as the
    recording's own predictions are by string match and by our equivalence, and as we compute it by each."""

    name: str
    problems: int
    recorded_match: float | None
    recorded_ours: float | None
    match: float | None
    ours: float | None


@dataclass(frozen=True, slots=True)
class Run:
    """One imported run: what the import said of it, its figures and the differences. `regraded` are the solutions that a
    string match and our equivalence judge differently, as (key, string read, our answer, reference, right here, how many)."""

    name: str
    said: dict[str, Any]
    figures: list[Figure]
    differences: list[dict[str, Any]]
    regraded: list[tuple[str, str | None, str | None, str | None, bool, int]]


def runs_in(folder: Path) -> dict[str, list[str]]:
    """The files of each run by its name, the path below the folder.

    Raises:
        UserError: there is no such folder, or no recording in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; name the one that holds the recordings")
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.jsonl")):
        if _is_recording(file_source(str(path))):
            name = _SAMPLE_FILE.sub("rs*", str(path.relative_to(folder).with_suffix("")))
            found.setdefault(name, []).append(str(path))
    if not found:
        raise UserError(f"{folder}: holds no recording; formats are {', '.join(LAYOUTS)}")
    return found


def _is_recording(source: Source) -> bool:
    items = source.items()
    try:
        first = next(items, (0, None))[1]
        known = isinstance(first, dict) and any(layout.recognises(first) for layout in LAYOUTS.values())
        return known and "custom_id" not in first  # type: ignore[operator]  # a batch's output has no problems
    finally:
        items.close()


def measure(name: str, files: Sequence[str], database: Database, home: Path) -> Run:
    """Import one run, or take up what an earlier command had of it, and compute its figures."""
    stem = re.sub(r"[^\w.-]+", "-", name)
    listed, summary = home / f"{stem}.differences.jsonl", home / f"{stem}.json"
    said: dict[str, Any] = json.loads(summary.read_text()) if summary.exists() else {}
    again = import_recording(
        database, files, Wish(), _quiet, differences=None if said and listed.exists() else str(listed)
    )
    if again["compared"] is not None:
        said = again
        summary.write_text(json.dumps(said))
    with listed.open(encoding="utf-8") as lines:
        differences = [json.loads(line) for line in lines]
    recording = gather(files, format=None, dataset=None, progress=_quiet)
    try:
        recorded = [entry.recorded for entry in recording.entries()]
    finally:
        recording.close()
    judged = _judged(database, again["job_id"])
    return Run(name, said, list(figures(recorded, judged, said)), differences, regraded(recorded, judged))


def _quiet(doing: str, rows: int) -> None:
    """A measurement is told of run by run."""


def figures(recorded: Sequence[Recorded], judged: dict[str, list[Any]], said: dict[str, Any]) -> Iterator[Figure]:
    """The share of right answers by votes and scores among the first solutions, and of single solutions."""
    known = [one for one in recorded if one.answer is not None]
    compared = {row["field"]: row for row in said["compared"] or ()}
    most = max(len(one.samples) for one in known)
    scored = all(row.score is not None for rows in judged.values() for row in rows)
    short = {"majority_vote": "maj", "best_of_n": "naive", "weighted_vote": "weighted"}
    for rule in _RULES if scored else _RULES[:1]:
        for count in (2**power for power in range(20) if 2**power <= most):
            field = f"pred_{short[rule]}@{count}"
            predictions = [
                (one, prediction.answer) for one in known for prediction in one.predictions if prediction.field == field
            ]
            stated = compared.get(field)
            yield Figure(
                f"{short[rule]}@{count}",
                len(known),
                _share(read_plainly(answer) == plain(one.answer) for one, answer in predictions)
                if predictions
                else None,
                stated["right_as_recorded"] / stated["graded"] if stated and stated["graded"] else None,
                _share(_matches(one, rule, count) for one in known),
                _share(_chosen_right(judged[one.key or ""], rule, count) for one in known),
            )
    matched = [[read_plainly(sample.text) == plain(one.answer) for sample in one.samples] for one in known]
    graded = [[bool(row.correct) for row in judged[one.key or ""]] for one in known]
    verdicts = [[sample.verdict for sample in one.samples] for one in known]
    held = None if any(None in row for row in verdicts) else [[bool(one) for one in row] for row in verdicts]
    ways: list[tuple[str, Callable[[list[bool]], float]]] = [("pass@1", _mean), (f"pass@{most}", any)]
    for name, way in ways[: 1 if most == 1 else 2]:
        yield Figure(
            name, len(known), None if held is None else _share(map(way, held)), None, _share(map(way, matched)), _share(map(way, graded))
        )  # fmt: skip


def regraded(
    recorded: Sequence[Recorded], judged: dict[str, list[Any]]
) -> list[tuple[str, str | None, str | None, str | None, bool, int]]:
    """The solutions that only one of both holds to be right, those of a problem with the same answer as one."""
    found: Counter[tuple[str, str | None, str | None, str | None, bool]] = Counter()
    for one in recorded:
        key = one.key or ""
        for sample, row in zip(one.samples, judged[key], strict=True):
            read = read_plainly(sample.text)
            if one.answer is not None and (read == plain(one.answer)) != bool(row.correct):
                found[key, read, row.answer, one.answer, bool(row.correct)] += 1
    return [(*what, count) for what, count in found.items()]


def _matches(one: Recorded, rule: str, count: int) -> bool:
    """Whether the string that is chosen among the first solutions matches the reference; ties go to the lower index."""
    first = [(read_plainly(sample.text), sample.score) for sample in one.samples[:count]]
    if rule == "best_of_n":
        return max(first, key=lambda pair: pair[1] or 0.0)[0] == plain(one.answer)
    votes: Counter[str] = Counter()
    for answer, score in first:
        if answer is not None:
            votes[answer] += 1 if rule == "majority_vote" else score or 0.0  # type: ignore[assignment]
    return bool(votes) and max(votes, key=lambda answer: votes[answer]) == plain(one.answer)


def _chosen_right(rows: list[Any], rule: str, count: int) -> bool:
    """The same by our answers and their classes; a solution without an answer abstains."""
    voters = [row for row in rows[:count] if row.answer_class >= 0]
    if rule == "best_of_n":
        chosen = max(voters, key=lambda row: row.score, default=None)
        return bool(chosen and chosen.correct)
    votes: dict[int, float] = {}
    for row in voters:
        votes[row.answer_class] = votes.get(row.answer_class, 0.0) + (1.0 if rule == "majority_vote" else row.score)
    most = max(votes.values(), default=None)
    winner = next((row for row in voters if votes[row.answer_class] == most), None)
    return bool(winner and winner.correct)


def _judged(database: Database, job_id: int) -> dict[str, list[Any]]:
    """The graded candidates of a job by the key of their problem, in the order of the recording."""
    from sqlalchemy import select

    from models.reports import PROBLEM
    from models.transitions import CANDIDATE, QUERY

    found: dict[str, list[Any]] = {}
    with database.reading() as connection:
        rows = connection.execute(
            select(PROBLEM.c.key, CANDIDATE.c.answer, CANDIDATE.c.answer_class, CANDIDATE.c.correct, CANDIDATE.c.score)
            .join(QUERY, QUERY.c.id == CANDIDATE.c.query_id)
            .join(PROBLEM, PROBLEM.c.id == QUERY.c.problem_id)
            .where(CANDIDATE.c.job_id == job_id)
            .order_by(CANDIDATE.c.id)
        )
        for row in rows:
            found.setdefault(row.key, []).append(row)
    return found


def _mean(values: list[bool]) -> float:
    return sum(values) / len(values)


def _share(values: Any) -> float:
    listed = [float(value) for value in values]
    return sum(listed) / len(listed)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recordings", description=__doc__)
    parser.add_argument("folder", metavar="DIR", type=Path, help="holds the recordings")
    parser.add_argument(
        "--home", type=Path, default=Path(".tts-jobs/recordings"), help="where what is imported is kept"
    )
    parser.add_argument(
        "--page", type=Path, default=Path("docs/results/recordings.md"), help="written between its marks"
    )
    options = parser.parse_args(arguments)
    try:
        runs = runs_in(options.folder)
        options.home.mkdir(parents=True, exist_ok=True)
        database = Database(f"sqlite:///{options.home / 'recordings.db'}")
        upgrade(database)
        measured = []
        for name, files in runs.items():
            measured.append(measure(name, files, database, options.home))
            print(
                f"{name}: {measured[-1].said['queries']} problems, {len(measured[-1].differences)} differences",
                flush=True,
            )
        write_page(options.page, measured)
        database.close()
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
