"""`tts-jobs decide efficiency`, `scaling` and `exchange`: ways to spend, laws and models of two sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from sqlalchemy import Connection

from cli import output
from cli.decide_options import cost_option, price_options, prices_of, seed_option, show, unit_of
from models import reports
from models.database import Database, open_database
from models.errors import UserError
from models.units import parse_share
from models.whatif import Prices

if TYPE_CHECKING:
    from models.aligned import Aligned
    from models.decisions import Decision
    from models.exchange import Comparison

REPLAYED = ("majority_vote", "weighted_vote", "best_of_n", "adaptive_consistency")
"""Whose samples tell what fewer of them would have brought (`scheduler.replay`)."""


@click.command()
@click.option("--base", "base", multiple=True, required=True, metavar="JOB", help="A job of the first set; may be repeated.")  # fmt: skip
@click.option("--ours", "ours", multiple=True, required=True, metavar="JOB", help="A job of the second set; may be repeated.")  # fmt: skip
@click.option("-q", "targets", type=click.FloatRange(0, 1, min_open=True), multiple=True, help="Part of what the first set gains from its cheapest job to its best; 0.5, 0.8 and 0.9 by default.")  # fmt: skip
@click.option("--at", "accuracies", multiple=True, metavar="ACCURACY", help="At this accuracy instead, such as 60%.")
@cost_option
@price_options
@seed_option
@output.json_option
def efficiency(
    base: tuple[str, ...],
    ours: tuple[str, ...],
    targets: tuple[float, ...],
    accuracies: tuple[str, ...],
    cost: str | None,
    hour: float | None,
    prices: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """How many times as much one set of jobs costs as another for the same accuracy.

    Each set is taken as the upper concave envelope of its jobs, since mixing two is possible. What a set does not reach
    is said to be not reached.

    \b
    Example:
      tts-jobs decide efficiency --base 1 --base 2 --base 3 --ours 7 --ours 8
      tts-jobs decide efficiency --base 1 --base 2 --ours 7 --at 60% --cost usd
    """
    from models.decisions import efficiency_decision
    from models.efficiency import efficiency_at, efficiency_factor

    asked = [parse_share(accuracy, "--at") for accuracy in accuracies]
    with open_database().reading() as connection:
        supposed = prices_of(connection, hour, prices)
        aligned, (first, second) = _sets(connection, [base, ours], unit_of(cost, supposed), supposed)
    mean = aligned.cost.mean(axis=0)
    # a_q counts from the cheapest job, in the place of a single sample.
    first = sorted(first, key=lambda place: float(mean[place]))
    theirs, mine = aligned.curve(first), aligned.curve(second)
    parts = targets or (() if asked else (0.5, 0.8, 0.9))
    found = [efficiency_factor(theirs, mine, q, seed=seed) for q in parts]
    found += [efficiency_at(theirs, mine, accuracy, seed=seed) for accuracy in asked]
    show(aligned, [efficiency_decision(aligned, first, second, one) for one in found], as_json=as_json)


@click.command()
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@cost_option
@price_options
@seed_option
@output.json_option
def scaling(
    jobs: tuple[str, ...], cost: str | None, hour: float | None, prices: Path | None, seed: int, as_json: bool
) -> None:
    """The law accuracy = a - b C^-alpha of JOBs that differ in their budget alone, or of one voting JOB whose samples are
    replayed at fewer (up to half of them; FLOPs or GPU-seconds).

    A curve that falls beyond chance is named over-optimisation and has no law; neither have settings that do not bound
    the exponent. The law holds between the cheapest and the dearest setting.

    \b
    Example:
      tts-jobs decide scaling 1 2 3 4 5
      tts-jobs decide scaling last --cost gpu-seconds
    """
    from models.decisions import law_decision
    from models.scaling import fit_law

    database = open_database()
    with database.reading() as connection:
        supposed = prices_of(connection, hour, prices)
        unit = unit_of(cost, supposed)
        aligned, (places,) = _sets(connection, [jobs], unit, supposed)
    if len(places) == 1:
        decision = _replayed(database, aligned, seed)
    else:
        runs = [aligned.runs[place] for place in places]
        kinds = {(run.generator, run.verifier, run.strategy) for run in runs}
        if len(kinds) > 1:
            said = ", ".join(run.label for run in runs)
            raise UserError(
                f"a law is of one model, verifier and strategy at several budgets, and these differ: {said}"
            )
        family = f"{runs[0].strategy} on {runs[0].generator}"
        found = fit_law(aligned.curve(places), seed=seed)
        decision = law_decision(family, found, unit, [run.label for run in runs])
    show(aligned, [decision], as_json=as_json)


def _replayed(database: Database, aligned: Aligned, seed: int) -> Decision:
    import numpy as np

    from models.aligned import parameters_of
    from models.decisions import law_decision
    from models.efficiency import Curve
    from models.scaling import fit_law
    from scheduler.outcomes import read_outcomes
    from scheduler.replay import curve_of

    (run,) = aligned.runs
    if run.strategy not in REPLAYED:
        raise UserError(f"{run.label}: only the samples of {', '.join(REPLAYED)} can be replayed; name jobs at several budgets")  # fmt: skip
    columns = {"flops": "flops", "gpu-seconds": "seconds"}
    if aligned.unit not in columns:
        raise UserError(
            f"--cost {aligned.unit}: a replay counts FLOPs or GPU-seconds; name one of them, or several jobs"
        )
    with database.reading() as connection:
        if not parameters_of(connection, run.job_id).get("greedy_first"):
            raise UserError(f"{run.label}: only a job with --param greedy_first=true can be replayed here; name jobs at several budgets")  # fmt: skip
    recorded = read_outcomes(database, run.job_id, {})
    # Above half of them, subsets are much the same.
    most = max(recorded[0].samples // 2, 1)
    replayed = curve_of(recorded, run.strategy, most, greedy_first=True, seed=seed)
    # Evenly in the logarithm of N, as the budgets of jobs are chosen.
    chosen = np.unique(np.round(2 ** np.arange(0, np.log2(most) + 1e-9, 0.5)).astype(int))
    curve = Curve(replayed["accuracy"][:, chosen - 1], replayed[columns[aligned.unit]][:, chosen - 1])
    family = f"{run.strategy} on {run.generator}, replayed from {run.label}"
    return law_decision(family, fit_law(curve, seed=seed), aligned.unit, [f"N = {count}" for count in chosen])


@click.command()
@click.argument("large", metavar="LARGE")
@click.argument("small", nargs=-1, required=True, metavar="SMALL...")
@click.option("--ratio", "ratios", type=click.FloatRange(0, min_open=True), multiple=True, metavar="R", help="Inference tokens for each token of pretraining; 0.16, 0.79 and 22 by default.")  # fmt: skip
@click.option("--parameters", type=click.FloatRange(1, min_open=True), metavar="M", help="How many times as many parameters the larger model has; from their architectures by default.")  # fmt: skip
@price_options
@seed_option
@output.json_option
def exchange(
    large: str,
    small: tuple[str, ...],
    ratios: tuple[float, ...],
    parameters: float | None,
    hour: float | None,
    prices: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """A smaller model with more test-time compute (the jobs SMALL) or a larger one (the job LARGE, best a greedy one)?

    At equal FLOPs and equal dollars of inference; and for each R with the FLOPs that pretraining the smaller model saves
    given to its inference (Snell et al. 2408.03314, section 7), for all problems and for each level, or each difficulty
    bin where there are no levels.

    \b
    Example:
      tts-jobs decide exchange 9 1 2 3 4 --ratio 0.1 --ratio 10
    """
    from models import decisions
    from models.exchange import RATIOS, by_group, compare, match
    from models.exchange import exchange as exchanged

    with open_database().reading() as connection:
        supposed = prices_of(connection, hour, prices)
        aligned, (one, others) = _sets(connection, [(large,), small], "flops", Prices())
        generators = {aligned.runs[place].generator for place in others}
        if len(generators) > 1:
            raise UserError(
                f"SMALL: the jobs are of several models, {', '.join(sorted(generators))}; name those of one"
            )
        times = parameters or _times_larger(connection, aligned, one[0], others)
        priced: Aligned | None = None
        try:
            priced, _ = _sets(connection, [(large,), small], "usd", supposed)
        except UserError as error:
            output.notes.print(f"[yellow]no comparison in dollars: {output.safe(str(error))}[/yellow]", soft_wrap=True)
    names = (aligned.runs[others[0]].generator, aligned.runs[one[0]].generator)
    said = []
    for part in filter(None, (aligned, priced)):
        curves = part.curve(others), part.curve(one)
        said.append(decisions.comparison_decision(*names, compare(*curves, seed=seed), part.unit))
        said.append(decisions.match_decision(*names, match(*curves, seed=seed), part.unit))
    rows: list[list[str]] = []
    by_level: list[Decision] = []
    for ratio in ratios or RATIOS:
        curves = aligned.curve(others), aligned.curve(one)
        found = exchanged(*curves, times, ratio, seed=seed)
        said.append(decisions.comparison_decision(*names, found, "flops", ratio=ratio))
        for group, problems in by_group(aligned.groups or []).items():
            curves = aligned.curve(others, problems), aligned.curve(one, problems)
            found = exchanged(*curves, times, ratio, seed=seed)
            group = f"{group} ({len(problems)} problems)"
            by_level.append(decisions.comparison_decision(*names, found, "flops", ratio=ratio, group=group))
            rows.append([f"{ratio:g}", group, *_compared(found, names)])
    if as_json:
        said += by_level
    elif rows:
        columns = [("R", "right"), ("on", "left"), (names[0], "right"), (names[1], "right"), ("points (95 %)", "right"), ("better", "left")]  # fmt: skip
        output.console.print(output.table("with pretraining, by difficulty", columns, rows))
    show(aligned, said, as_json=as_json, times_larger=times)


def _compared(found: Comparison, names: tuple[str, str]) -> list[str]:
    better = {"small": names[0], "large": names[1], "undecided": "undecided"}[found.verdict]
    if found.small is None or found.gain is None:
        return ["not affordable", output.percent(found.large.value), "-", better]
    low, high = ("unbounded" if end is None else f"{100 * end:+.1f}" for end in (found.gain.low, found.gain.high))
    gain = f"{100 * found.gain.value:+.1f} ({low} to {high})"
    return [output.percent(found.small.value), output.percent(found.large.value), gain, better]


def _sets(
    connection: Connection, sets: Sequence[Sequence[str]], unit: str, prices: Prices
) -> tuple[Aligned, list[list[int]]]:
    """Named jobs side by side, and the columns of each set.

    Raises:
        UserError: a job cannot be compared.
    """
    from models.aligned import align_jobs

    job_ids = [[reports.find_job(connection, job) for job in chosen] for chosen in sets]
    aligned = align_jobs(connection, [job_id for chosen in job_ids for job_id in chosen], unit, prices)
    if aligned.left_out:
        one = aligned.left_out[0]
        raise UserError(f"{one.run.label} cannot be compared: {one.reason}; leave it out, or count in another cost")
    return aligned, [[aligned.place(job_id) for job_id in dict.fromkeys(chosen)] for chosen in job_ids]


def _times_larger(connection: Connection, aligned: Aligned, large: int, small: Sequence[int]) -> float:
    from models.aligned import generator_size

    sizes = []
    for place in (large, small[0]):
        run = aligned.runs[place]
        size = generator_size(connection, run.job_id)
        if size is None:
            raise UserError(f"the size of {run.generator} is not known; give --parameters M")
        sizes.append(size)
    if sizes[0] <= sizes[1]:
        raise UserError(
            f"LARGE: {aligned.runs[large].label} is not of the larger model ({sizes[0]:,} parameters, {sizes[1]:,} in the "
            "others); name the larger one first"
        )
    return sizes[0] / sizes[1]
