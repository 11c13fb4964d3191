"""The options of `report` that write files: the page, and its main plot as a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from cli import output, plot
from cli.exporters import replacing
from cli.page.document import Document, build, by_dataset
from cli.page.write import write_page
from models.database import Database
from models.errors import UserError

_FILE = click.Path(dir_okay=False, path_type=Path)


def file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--html`, `--png` and `--svg`, for `write_files`."""
    for option in (
        click.option("--svg", type=_FILE, help="Write the page's plot as a drawing."),
        click.option("--png", type=_FILE, help="Write the page's plot as a picture."),
        click.option("--html", type=_FILE, help="Write a page with plot, tables and answers that needs no network."),
    ):
        command = option(command)
    return command


def write_files(
    database: Database,
    job_ids: Sequence[int] | None,
    *,
    html: Path | None = None,
    png: Path | None = None,
    svg: Path | None = None,
) -> None:
    """Write what was asked for, and say where.

    Raises:
        UserError: there is nothing to show, the plot's packages are missing, or a file cannot be written.
    """
    if html is None and png is None and svg is None:
        return
    if (png or svg) and not plot.is_available():
        raise UserError("--png and --svg need the extra `plot`: pip install 'tts-jobs[plot]'")
    document = build(database, job_ids)
    if html is not None:
        write_page(document, html)
        output.notes.print(f"page: {output.safe(str(html))}", soft_wrap=True)
    for path, draw in ((png, plot.as_png), (svg, plot.as_svg)):
        if path is not None:
            curves = _curves(document)
            with replacing(path) as stream:
                draw(curves, stream, document["title"])
            output.notes.print(f"plot: {output.safe(str(path))}", soft_wrap=True)


def _curves(document: Document) -> plot.Curves:
    """The realised points, by series; with their dataset's name where there are several.

    Raises:
        UserError: no job has both an accuracy and a cost in FLOPs.
    """
    groups = by_dataset(document["jobs"])
    points: dict[str, list[plot.Point]] = {}
    for group in groups:
        for job in sorted(group, key=lambda one: one["per_query"]["flops"] or 0):
            if job["per_query"]["flops"] and job["accuracy"] is not None:
                name = f"{job['series']}, {job['dataset']}" if len(groups) > 1 else job["series"]
                point = plot.Point(
                    job["per_query"]["flops"], job["accuracy"], job["accuracy_low"], job["accuracy_high"]
                )
                points.setdefault(name, []).append(point)
    if not points:
        raise UserError(
            "there is nothing to plot: no job has both an accuracy and known FLOPs; leave out --png and --svg"
        )
    return {**points}
