"""`tts-jobs curves`: accuracy against cost at every number of samples, replayed from those that are stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cli import output, plot
from cli.exporters import replacing, write_results
from models import reports
from models.database import open_database
from models.errors import UserError

ESTIMATORS = {"subsets": "random subsets", "prefix": "the first as drawn"}
BY_SAMPLES = "samples per query (FLOPs are unknown)"


@dataclass(frozen=True, slots=True)
class Job:
    """A job and what its samples show (`models.curves.Replayed`)."""

    summary: dict[str, Any]
    own: str
    replayed: Any

    @property
    def title(self) -> str:
        oracle = ", oracle" if self.summary["oracle"] else ""
        return f"job {self.summary['job_id']} ({self.summary['name']}{oracle})"


@click.command()
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@click.option("--estimator", type=click.Choice(list(ESTIMATORS)), default="subsets", show_default=True, help="Random subsets of the stored samples, or the first as they were drawn.")  # fmt: skip
@click.option("--png", type=click.Path(path_type=Path), help="Write the plot to this file.")
@click.option("--svg", type=click.Path(path_type=Path), help="Write the plot to this file, as SVG.")
@click.option("--csv", "csv_", help="Write every point to this file, or - for standard output.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the tables to this file, as Markdown.")
@output.json_option
def curves(
    jobs: tuple[str, ...],
    estimator: Any,
    png: Path | None,
    svg: Path | None,
    csv_: str | None,
    markdown: Path | None,
    as_json: bool,
) -> None:
    """What each JOB (a number, a name or `last`) would have answered with fewer samples, and for how much.

    Nothing is drawn anew: pass@k, the majority vote, best-of-N and the weighted vote under each aggregation of step
    scores are replayed from the stored samples, at every N. A cost is one prefill of the prompt, N samples, and their
    scoring where a verifier is asked, as a mean per query; FLOPs are canonical. Figures marked * are of more than half
    the samples, whose subsets overlap much. Intervals are 95 %, of a bootstrap over problems. Searches, revisions and
    jobs that choose strategies cannot be replayed, and are named with the reason.

    \b
    Example:
      tts-jobs curves last
      tts-jobs curves 3 4 --estimator prefix --png curves.png --csv curves.csv
      tts-jobs curves 3 --json | jq '.curves[] | {strategy, aggregation, points}'
    """
    if csv_ == "-" and as_json:
        raise UserError("--csv: standard output carries JSON already; name a file with --csv FILE")
    if (png or svg) and not plot.is_available():
        raise UserError(f"{'--png' if png else '--svg'} needs matplotlib and plotext; pip install 'tts-jobs[plot]'")
    found, refused = _replay(jobs, estimator)
    if not found:
        raise UserError("; ".join(f"job {one['job_id']} cannot be replayed: {one['reason']}" for one in refused))
    points = [point for job in found for point in _rows(job)]
    lines, x_label = _lines(found)
    for path, kind in ((png, "png"), (svg, "svg")):
        if path is not None:
            with replacing(path) as stream:
                plot.write(lines, stream, _heading(found, estimator), kind, x_label=x_label)  # type: ignore[arg-type]
    if markdown is not None:
        with replacing(markdown) as stream:
            stream.write(_markdown(found, refused, estimator).encode("utf-8", "backslashreplace"))
    if csv_ is not None:
        write_results(points, csv_, "csv")
    if as_json:
        output.print_json(_document(found, refused))
    elif csv_ != "-":
        _show(found, refused, estimator)
        if plot.is_available():
            output.console.print(plot.in_terminal(lines, output.console.width, x_label=x_label), markup=False)
        else:
            output.notes.print("for the plot: pip install 'tts-jobs\\[plot]', then run this again")


def _replay(jobs: Sequence[str], estimator: Any) -> tuple[list[Job], list[dict[str, Any]]]:
    """What can be replayed, and what cannot with the reason."""
    from models.curves import refusal, replay
    from models.transitions import JOB

    found, refused = [], []
    with open_database().reading() as connection:
        for job_id in dict.fromkeys([reports.find_job(connection, job) for job in jobs]):
            reason = refusal(connection, job_id, estimator)
            if reason is not None:
                refused.append({"job_id": job_id, "reason": reason})
                continue
            (summary,) = reports.job_summaries(connection, [job_id])
            specification = connection.execute(
                JOB.select().with_only_columns(JOB.c.specification).where(JOB.c.id == job_id)
            ).scalar_one()
            own = str(specification["parameters"].get("aggregation", "last"))
            found.append(Job(summary, own, replay(connection, job_id, estimator=estimator)))
    return found, refused


def _document(found: Sequence[Job], refused: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "jobs": [
            {
                **{
                    name: job.summary[name] for name in ("job_id", "name", "dataset", "generator", "verifier", "oracle")
                },
                **{name: getattr(job.replayed, name) for name in ("problems", "samples", "headline", "notes")},
            }
            for job in found
        ],
        "curves": [curve for job in found for curve in job.replayed.curves],
        "not_replayable": refused,
    }


def _rows(job: Job) -> Iterator[dict[str, Any]]:
    """One row for each point."""
    for curve in job.replayed.curves:
        about = {name: value for name, value in curve.items() if name != "points"}
        for point in curve["points"]:
            yield {**about, **point}


def _label(curve: dict[str, Any]) -> str:
    name: str = curve["strategy"]
    return f"{name} ({curve['aggregation']})" if curve["aggregation"] else name


def _shown(most: int, *more: int) -> list[int]:
    """The numbers of samples of which there is room for a figure: the powers of two, the last and `more`."""
    return sorted({2**power for power in range(most.bit_length())} | {most, *more})


def _lines(found: Sequence[Job]) -> tuple[plot.Curves, str]:
    """The ways to choose an answer, under the job's own aggregation, up to half the samples; and what x is."""
    lines: plot.Curves = {}
    by_flops = all(point["flops"] is not None for job in found for point in _rows(job))
    for job in found:
        drawn = _shown(job.replayed.samples, job.replayed.headline)
        for curve in job.replayed.curves:
            own = curve["aggregation"] in (None, job.own)
            if own and not curve["strategy"].startswith(("g-pass", "mg-pass", "avg")):
                name = _label(curve) + (f", job {curve['job_id']}" if len(found) > 1 else "")
                lines[name] = [
                    plot.Point(
                        point["flops"] if by_flops else point["n"], point["accuracy"], point["low"], point["high"]
                    )
                    for point in curve["points"]
                    if point["headline"] and point["n"] in drawn
                ]
    return lines, plot.X_LABEL if by_flops else BY_SAMPLES


def _heading(found: Sequence[Job], estimator: str) -> str:
    return f"{', '.join(job.title for job in found)}: {ESTIMATORS[estimator]}"


def _columns(job: Job) -> list[str]:
    """N of each figure, marked where it is of more than half of the samples, and what is told of the headline's."""
    marked = [f"{n}{'*' * (n > job.replayed.headline)}" for n in _shown(job.replayed.samples)]
    return ["N", *marked, f"95 % at {job.replayed.headline}", "tokens", "FLOPs", "cost"]


def _cells(job: Job, curve: dict[str, Any]) -> list[str]:
    points = curve["points"]
    figures = [f"{100 * points[n - 1]['accuracy']:.1f}" for n in _shown(job.replayed.samples)]
    head = points[job.replayed.headline - 1]
    return [
        _label(curve),
        *figures,
        f"{100 * head['low']:.1f} to {100 * head['high']:.1f}",
        output.count(head["tokens"]),
        output.count(head["flops"]),
        "unknown" if head["dollars"] is None else output.dollars(head["dollars"]),
    ]


def _show(found: Sequence[Job], refused: Sequence[dict[str, Any]], estimator: str) -> None:
    for job in found:
        title = f"{job.title}: {job.replayed.problems} problems x {job.replayed.samples} samples, {ESTIMATORS[estimator]}; accuracy in %"
        columns = [(name, "left" if name == "N" else "right") for name in _columns(job)]
        rows = [_cells(job, curve) for curve in job.replayed.curves]
        output.console.print(output.safe(title), soft_wrap=True)
        output.console.print(output.table(None, columns, rows))
        for note in job.replayed.notes:
            output.console.print(f"job {job.summary['job_id']}: {output.safe(note)}", soft_wrap=True)
    for one in refused:
        output.console.print(
            f"[yellow]job {one['job_id']} cannot be replayed: {output.safe(one['reason'])}[/yellow]", soft_wrap=True
        )


def _markdown(found: Sequence[Job], refused: Sequence[dict[str, Any]], estimator: str) -> str:
    parts = []
    for job in found:
        columns, rows = _columns(job), [_cells(job, curve) for curve in job.replayed.curves]
        about = f"{job.replayed.problems} problems, {job.replayed.samples} samples each, {ESTIMATORS[estimator]}"
        lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
        table = "\n".join(f"| {' | '.join(_harmless(cell) for cell in line)} |" for line in lines)
        notes = "".join(f"\n\n{note[0].upper()}{note[1:]}." for note in job.replayed.notes)
        parts.append(f"## {_harmless(job.title)}\n\nAccuracy in %; {about}. Costs are per query.\n\n{table}{notes}\n")
    parts += [f"Job {one['job_id']} cannot be replayed: {one['reason']}.\n" for one in refused]
    return "\n".join(parts)


def _harmless(text: str) -> str:
    """Without Markdown's own marks: names are typed by anyone. The * of a figure and the --- of a table stay."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{mark}" if mark in "\\`|[]_" else mark for mark in flat)
