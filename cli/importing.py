"""`tts-jobs import`: recorded generations become a job like any other."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, get_args

import click

from cli import output
from cli.exporters import replacing
from cli.loading import Loading
from models.database import open_database
from models.templates import AnswerKind

if TYPE_CHECKING:
    from models.database import Database
    from models.recorded import Choice
    from models.templates import Template
    from scheduler.intake import Progress
    from scheduler.recordings.gathering import Recording
    from scheduler.recordings.imports import Import, Known, Wish
    from worker.differences import Tally
    from worker.grading import GradingPool
    from worker.recorded import Judged

FORMATS = ["openai-batch", "search-and-learn", "qwen-math", "nemo-skills", "plain"]
PATIENCE = 30.0
"""Seconds that one comparison of two answers may take: nobody waits for a single one here."""
COLUMNS = [
    ("recorded", "left"), ("compared", "right"), ("the same", "right"), ("right as recorded", "right"), ("right as graded here", "right"),
]  # fmt: skip


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--format", "format_", type=click.Choice(FORMATS), help="Of the files; recognised by their fields otherwise.")  # fmt: skip
@click.option("--dataset", metavar="FILE", help="The dataset that was run: its prompts and references are taken, so that the job can be compared with others on it. A batch's output needs it.")  # fmt: skip
@click.option("--generator", "-g", help="What wrote the solutions.  [default: as a batch's output says, else unknown]")
@click.option("--verifier", "-v", help="What scored them.  [default: unknown]")
@click.option("--strategy", "-s", help="How answers are chosen: majority_vote, best_of_n or weighted_vote choose here; of a search, such as beam_search, the recorded answer is taken.  [default: by the recording]")  # fmt: skip
@click.option("--aggregation", type=click.Choice(["last", "min", "prod", "mean"]), help="How step scores become one; the recorded score otherwise.")  # fmt: skip
@click.option("--answer", type=click.Choice(get_args(AnswerKind)), default="math", show_default=True, help="What an answer is (docs/grading.md).")  # fmt: skip
@click.option("--differences", metavar="FILE", help="Write what the recording reads, holds right or chooses otherwise than we do, one JSON object a line.")  # fmt: skip
@click.option("--name", help="What to call the job.")
@click.option("--new", is_flag=True, help="Make another replicate of a recording that is imported already.")
@output.json_option
def import_(
    files: tuple[str, ...],
    format_: str | None,
    dataset: str | None,
    differences: str | None,
    new: bool,
    as_json: bool,
    **wishes: Any,
) -> None:
    """Bring recorded generations into the tables: the FILEs of one run become one job.

    Known are search-and-learn, the evaluation files of Qwen2.5-Math, NeMo-Skills (the output-rs*.jsonl of a run are
    samples of the same problems), the output of OpenAI's batch interface, and a plain format (docs/recordings.md).
    Answers are read and graded as those of any job; what the recording holds of them is compared with that. Costs that
    it does not tell are unknown. Kill it whenever you like: the same command goes on, and imports nothing twice.

    \b
    Example:
      tts-jobs import run/output-rs*.jsonl --generator qwen-7b
      tts-jobs import beam_search_completions.jsonl -g llama-1b -v rlhflow --differences differences.jsonl
      tts-jobs import batch_output.jsonl --dataset problems.jsonl
      tts-jobs report last
    """
    from scheduler.recordings.imports import Wish

    with Loading(as_json) as loading:
        said = import_recording(
            open_database(), files, Wish(**wishes), loading, layout=format_, dataset=dataset, differences=differences, new=new
        )  # fmt: skip
    if as_json:
        output.print_json(said)
        return
    _show(said, differences)


def import_recording(
    database: Database,
    files: Sequence[str],
    wish: Wish,
    progress: Progress,
    *,
    layout: str | None = None,
    dataset: str | None = None,
    differences: str | None = None,
    new: bool = False,
) -> dict[str, Any]:
    """Import the files of one run, or find the job that they are already, and say what `--json` prints.

    Raises:
        UserError: a file is no recording, or what is wished for does not go with it.
    """
    from scheduler.readers import open_dataset
    from scheduler.recordings.gathering import gather
    from scheduler.recordings.imports import choice_of, open_import

    with ExitStack() as stack:
        reader = None if dataset is None else open_dataset(dataset)
        recording = gather(files, format=layout, dataset=reader, progress=progress)
        stack.callback(recording.close)
        drafted = None if differences is None else stack.enter_context(replacing(Path(differences)))
        made = open_import(database, recording, wish, reader, new=new, progress=progress)
        known, tally, late = made.state == "done", None, 0
        if not known or drafted is not None:
            tally, late = _bring_in(made, choice_of(made.specification, wish), drafted, progress)
        if not known:
            made.finish()
        return {
            "job_id": made.job_id, "created": not known, "state": made.state, "source": recording.label,
            "format": recording.layout.name, "strategy": made.specification.strategy, "queries": recording.problems,
            "samples": recording.facts.solutions, "compared": None if tally is None else _compared(tally),
            "notes": _notes(made, recording, known, late),
        }  # fmt: skip


def _bring_in(made: Import, choice: Choice, drafted: IO[bytes] | None, progress: Progress) -> tuple[Tally, int]:
    """Judge every problem and store those that are not there yet; what an earlier command stored is judged again for the
    comparison alone. Returns it, and how many comparisons of answers came to no end in time."""
    from models.transitions.imports import ImportedQuery
    from worker.differences import Tally
    from worker.grading import GradingPool

    tally, pool, done = Tally(), GradingPool(workers=min(os.cpu_count() or 1, 4), time_limit=PATIENCE), 0
    try:
        with asyncio.Runner() as runner:
            for page in made.pages():
                judged = runner.run(_judge(page, made.template, pool, choice))
                for one in judged:
                    tally.add(one.tally)
                    if drafted is not None:
                        drafted.writelines(_line(difference) for difference in one.tally.differences)
                queries = [
                    ImportedQuery(
                        known.problem_id, one.query, one.candidates, known.entry.recorded.requests,
                        any(row["score"] is not None for row in one.candidates),
                    )
                    for known, one in zip(page, judged, strict=True)
                ]  # fmt: skip
                made.store(done + 1, queries)
                done += len(page)
                progress("importing", done)
    finally:
        pool.close()
    return tally, pool.timeouts + pool.crashes


async def _judge(page: Sequence[Known], template: Template, pool: GradingPool, choice: Choice) -> list[Judged]:
    from strategies.protocols import ProblemView
    from worker.recorded import judge

    return await asyncio.gather(
        *(
            judge(
                known.entry.recorded,
                ProblemView(known.entry.key, known.prompt, known.reference),
                template,
                pool,
                choice,
            )
            for known in page
        )
    )


def _line(difference: Any) -> bytes:
    return json.dumps(asdict(difference), ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _compared(tally: Tally) -> list[dict[str, Any]]:
    return [
        {
            "field": name, "compared": count, "the_same": tally.agreed[name], "graded": tally.graded[name],
            "right_as_recorded": tally.right[name], "right_as_graded": tally.ours_right[name],
        }
        for name, count in tally.compared.items()
    ]  # fmt: skip


def _notes(made: Import, recording: Recording, known: bool, late: int) -> list[str]:
    facts, strategy = recording.facts, made.specification.strategy
    notes = [] if not known else [f"job {made.job_id} was imported before; --new makes another"]
    if late:
        notes.append(f"{late} comparisons of two answers took too long, and count them as different")
    if facts.referenced == 0 and recording.layout.name != "openai-batch":
        notes.append("the recording holds no reference answers, so that nothing is graded unless --dataset has them")
    if strategy in ("majority_vote", "best_of_n", "weighted_vote") and 2 * facts.repeated > recording.problems:
        notes.append(
            f"solutions repeat word for word in {facts.repeated} of {recording.problems} problems: if a search wrote them, "
            "import them with its --strategy, such as beam_search"
        )
    return notes


def _show(said: dict[str, Any], differences: str | None) -> None:
    if said["created"]:
        output.console.print(
            f"job {said['job_id']}: {said['queries']:,} problems with {said['samples']:,} solutions of {output.safe(said['source'])} "
            f"({said['format']}) imported as {said['strategy']}; see it with `tts-jobs report {said['job_id']}`",
            soft_wrap=True,
        )
    for note in said["notes"]:
        output.console.print(f"[yellow]{output.safe(note)}[/yellow]", soft_wrap=True)
    if said["compared"]:
        rows = [
            [
                row["field"], row["compared"], row["the_same"],
                *(f"{row[name]} of {row['graded']}" if row["graded"] else None for name in ("right_as_recorded", "right_as_graded")),
            ]
            for row in said["compared"]
        ]  # fmt: skip
        output.console.print(output.table(None, COLUMNS, rows))
        count = sum(row["compared"] - row["the_same"] for row in said["compared"])
        where = f"; each is in {output.safe(differences)}" if differences else "; --differences FILE lists them"
        output.console.print(f"{count:,} differences{where if count or differences else ''}", soft_wrap=True)
