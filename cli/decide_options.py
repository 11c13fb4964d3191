"""What all decisions share: in which cost they are taken, under which prices, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from sqlalchemy import Connection

from cli import output
from models import reports
from models.errors import UserError
from models.units import UNITS
from models.whatif import AS_BOOKED, Prices, gpu_hour, models_used, read_prices

if TYPE_CHECKING:
    from models.aligned import Aligned
    from models.decisions import Decision

_Option = Callable[..., Any]

cost_option: _Option = click.option("--cost", type=click.Choice(list(UNITS)), help="What counts as cost: canonical FLOPs by default; dollars where prices are given.")  # fmt: skip
hour_option: _Option = click.option("--gpu-hour", "hour", type=float, metavar="USD", help="What if every model cost so many dollars an hour of its GPU?")  # fmt: skip
prices_option: _Option = click.option("--prices", type=click.Path(dir_okay=False, path_type=Path), help="What if models had the prices of this TOML file?")  # fmt: skip
seed_option: _Option = click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resampling, and of the halves where problems are halved.")  # fmt: skip
jobs_option: _Option = click.option("--job", "jobs", multiple=True, metavar="JOB", help="Decide between these jobs alone, oracles and those at work too; may be repeated.")  # fmt: skip


def price_options(command: _Option) -> _Option:
    """Adds `--gpu-hour` and `--prices`, as `hour` and `prices`."""
    found: _Option = hour_option(prices_option(command))
    return found


def prices_of(connection: Connection, hour: float | None, file: Path | None) -> Prices:
    """The prices that are to be supposed, those that were booked where none are.

    Raises:
        UserError: both are given, or as `models.whatif`.
    """
    if hour is not None and file is not None:
        raise UserError("--gpu-hour and --prices: give one of them; a file can hold gpu_hour for each model")
    if hour is not None:
        return gpu_hour(hour)
    return AS_BOOKED if file is None else read_prices(file, models_used(connection))


def unit_of(cost: str | None, prices: Prices) -> str:
    """The unit of cost: what was asked for, FLOPs unless prices make it dollars.

    Raises:
        UserError: prices are given, and another cost.
    """
    if prices is AS_BOOKED:
        return cost or "flops"
    if cost not in (None, "usd"):
        raise UserError(f"--cost {cost}: prices change dollars alone; leave --cost out, or --gpu-hour and --prices")
    return "usd"


def aligned_of(connection: Connection, dataset: str, jobs: Sequence[str], unit: str, prices: Prices) -> Aligned:
    """The jobs of a dataset side by side, or those that are named.

    Raises:
        UserError: as `models.aligned`, or a named job is of another dataset.
    """
    from models.aligned import align_dataset, align_jobs, dataset_of, find_dataset

    dataset_id = find_dataset(connection, dataset)
    if not jobs:
        return align_dataset(connection, dataset_id, unit, prices)
    job_ids = [reports.find_job(connection, job) for job in jobs]
    for job_id, written in zip(job_ids, jobs, strict=True):
        if dataset_of(connection, job_id) != dataset_id:
            raise UserError(f"--job {written}: it answered another dataset than {dataset}")
    return align_jobs(connection, job_ids, unit, prices)


def show(aligned: Aligned, decisions: Sequence[Decision], *, as_json: bool, **more: Any) -> None:
    """The decisions and what they rest on; `more` is added to the JSON."""
    left_out = [{"job_id": one.run.job_id, "reason": one.reason} for one in aligned.left_out]
    if as_json:
        output.print_json(
            {
                "dataset": aligned.dataset, "size": aligned.size, "problems": aligned.problems, "unit": aligned.unit,
                "left_out": left_out, **more, "decisions": [decision.to_dict() for decision in decisions],
            }
        )  # fmt: skip
        return
    for decision in decisions:
        output.console.print(f"[bold]{output.safe(decision.question)}[/bold]", soft_wrap=True)
        output.console.print(f"  {output.safe(decision.answer)}", soft_wrap=True)
    count = len(aligned.runs)
    graded = "that it graded" if count == 1 else f"that all {count} jobs graded"
    output.console.print(f"on {aligned.problems} of {aligned.size} problems {graded}")
    for one in aligned.left_out:
        output.console.print(f"[yellow]left out: {output.safe(f'{one.run.label}: {one.reason}')}[/yellow]", soft_wrap=True)  # fmt: skip
    if any(run.oracle for run in aligned.runs):
        output.console.print("[yellow]oracle: that job read the reference answers; for analysis only[/yellow]")
