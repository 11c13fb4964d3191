"""What was found in recordings, as a page: a table of figures for each run, and every difference with its reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.tables import write_between

if TYPE_CHECKING:
    from benchmarks.recordings import Figure, Run

_LONGEST = 60
_NOTE = """\
*Recorded* figures are of the answers that the recording itself had chosen, *here* those of the answers that are chosen
from its solutions now: by a plain string match of the last `\\boxed{...}` (`benchmarks/string_match.py`), and by the
extraction and equivalence of every job ([grading](../grading.md)). Votes and scores are over the first n solutions
(prefixes), ties go to the lower index. pass@1 is the mean over all solutions, pass@n whether one of a problem's n is right.
"""


def write_page(page: Path, runs: Sequence[Run]) -> None:
    """Put the figures and differences between the page's marks."""
    parts = [_NOTE]
    for run in runs:
        said = run.said
        parts.append(
            f"\n## `{run.name}`\n\n{said['format']}, imported as {said['strategy']}: {said['queries']:,} problems, "
            f"{said['samples']:,} solutions.\n\n{_table(run.figures)}"
        )
        parts.append(_agreement(said))
        parts.append(_differences(run.differences))
        parts.append(_regraded(run))
    write_between(page, "Recordings of others, graded here", "benchmarks.recordings", "".join(parts))


def _table(figures: Sequence[Figure]) -> str:
    lines = [
        "| figure | recorded, string match | recorded, our equivalence | here, string match | here, our equivalence |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in figures:
        cells = (one.recorded_match, one.recorded_ours, one.match, one.ours)
        lines.append(f"| {one.name} | " + " | ".join("" if cell is None else f"{cell:.3f}" for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _agreement(said: dict[str, Any]) -> str:
    notes = "".join(f"\n{note}.\n" for note in said["notes"])
    if not said["compared"]:
        return f"{notes}\nThe recording holds no answers or verdicts of its own.\n"
    rows = "".join(
        f"| {row['field']} | {row['compared']} | {row['the_same']} | {row['right_as_recorded']} | {row['right_as_graded']} |\n"
        for row in said["compared"]
    )
    return f"{notes}\n| recorded | compared | the same | right as recorded | right as graded here |\n| --- | --- | --- | --- | --- |\n{rows}"


def _differences(differences: Sequence[dict[str, Any]]) -> str:
    if not differences:
        return ""
    by_reason: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in differences:
        by_reason[one["reason"]].append(one)
    parts = ["\n<details><summary>", f"{len(differences)} differences, by their reason</summary>\n"]
    for reason, listed in sorted(by_reason.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        parts.append(
            f"\n{reason} ({len(listed)}):\n\n| problem | where | recorded | here | reference | right, recorded/here |\n"
        )
        parts.append("| --- | --- | --- | --- | --- | --- |\n")
        for fields, group in _grouped(listed):
            one = group[0]
            right = "/".join(
                {True: "yes", False: "no", None: "-"}[one[name]] for name in ("recorded_right", "ours_right")
            )
            cells = (one["key"], fields, *(_code(one[name]) for name in ("recorded", "ours", "reference")), right)
            parts.append("| " + " | ".join(cells) + " |\n")
    return "".join([*parts, "\n</details>\n"])


def _regraded(run: Run) -> str:
    if not run.regraded:
        return ""
    parts = [
        f"\n<details><summary>{sum(row[-1] for row in run.regraded):,} solutions that a string match judges otherwise</summary>\n\n"
    ]
    parts.append(
        "| problem | string read | read here | reference | right here | solutions |\n| --- | --- | --- | --- | --- | --- |\n"
    )
    for key, read, answer, reference, right, count in run.regraded:
        cells = (key, _code(read), _code(answer), _code(reference), "yes" if right else "no", str(count))
        parts.append("| " + " | ".join(cells) + " |\n")
    return "".join([*parts, "\n</details>\n"])


def _grouped(listed: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The differences that are the same but for their field, as one row."""
    rows: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for one in listed:
        rows[
            tuple(one[name] for name in ("key", "solution", "recorded", "ours", "recorded_right", "ours_right"))
        ].append(one)
    return [(", ".join(_where(one) for one in group), group) for group in rows.values()]


def _where(one: dict[str, Any]) -> str:
    where: str = one["field"].removeprefix("pred_")
    return where if one["solution"] is None else f"{where}, solution {one['solution']}"


def _code(answer: str | None) -> str:
    if answer is None:
        return "none"
    flat = " ".join(answer.split()).replace("|", "\\|").replace("`", "'")
    return f"`{flat if len(flat) <= _LONGEST else flat[: _LONGEST - 1] + '…'}`"
