"""`tts-jobs calibrate`: measure what each way to spend compute brings, and keep the policy that follows from it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cli import output, plot, policy_plot
from cli.job_options import parameters_of, question_of, question_options, reader_of
from cli.loading import Loading
from cli.policy_view import measured_of, show_policy
from cli.sample_counts import SampleCounts
from cli.series import answer_all
from models.database import Database, open_database
from models.errors import UserError
from models.settings import settings

if TYPE_CHECKING:
    from scheduler.policy import Policy
    from scheduler.readers import DatasetReader
    from scheduler.trials import Trials

FEWEST = 10
"""Problems; bins and calibrators are fitted on four fifths of them at a time."""


@click.command()
@question_options
@click.option("--name", required=True, help="What to call the policy; every calibration is a version of it.")
@click.option("--samples", type=click.IntRange(8, 1024), default=64, show_default=True, help="Drawn for each problem; twice the largest budget is a good number.")  # fmt: skip
@click.option("--budgets", type=SampleCounts(), default="1,2,4,8,16,32", show_default=True, help="Mean samples of a query that the policy is to decide for.")  # fmt: skip
@click.option("--search", "searches", multiple=True, metavar="STRATEGY", help="A strategy to try besides votes, one job for each budget; beam_search where verifier and engine can search.")  # fmt: skip
@click.option("--param", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter of the votes and searches that have it, such as aggregation=min or beam_width=2.")  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="No live view.")
@output.json_option
def calibrate(
    name: str,
    samples: int,
    budgets: tuple[int, ...],
    searches: tuple[str, ...],
    parameters: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **question: Any,
) -> None:
    """Measure what each strategy brings on problems of FILE that look as hard, and keep the policy that follows.

    It is used with `tts-jobs run ... --policy NAME`. FILE needs reference answers, and no problem of it should
    be among those that are reported on later. One job draws the samples, from which every vote is replayed; each search
    has a job for every budget. Kill it whenever you like; the same command goes on where it was, and draws nothing that
    is stored already.

    \b
    Example:
      tts-jobs calibrate measured.jsonl --name gsm8k -g qwen-1.5b -v qwen-prm
      tts-jobs calibrate measured.jsonl --name gsm8k -g qwen-1.5b -v qwen-prm --search beam_search --search rebase
    """
    from scheduler.policies import check_name, save_policy
    from scheduler.trials import plan_trials

    check_name(name)
    if importlib.util.find_spec("sklearn") is None:
        raise UserError("calibrate needs scikit-learn; run: pip install 'tts-jobs[calibrate]'")
    if budgets[-1] > samples:
        raise UserError(f"--budgets: {budgets[-1]} is more than the {samples} samples drawn; raise --samples")
    reader = reader_of(question)
    trials = plan_trials(question_of(question, reader), name, samples, budgets, searches, parameters_of(parameters))
    database = open_database()
    _check_problems(database, reader, skip_bad=question["skip_bad"], quiet=quiet)
    policy, evidence = _measure(database, reader, trials, budgets, skip_bad=question["skip_bad"], quiet=quiet)
    with database.transaction() as connection:
        version = save_policy(connection, name, policy, evidence, database.clock.now(connection))
    _tell(policy, evidence, f"{name}@{version}", as_json=as_json)


def _check_problems(database: Database, reader: DatasetReader, *, skip_bad: bool, quiet: bool) -> None:
    from scheduler.intake import load_dataset, references

    with Loading(quiet) as loading:
        dataset_id, _ = load_dataset(database, reader, skip_bad=skip_bad, progress=loading)
    with database.reading() as connection:
        total, referenced = references(connection, dataset_id)
    if referenced < total:
        raise UserError(
            f"{reader.name}: {total - referenced} of {total} problems have no reference answer, without which nothing can "
            "be measured; leave them out"
        )
    if total < FEWEST:
        raise UserError(f"{reader.name}: {total} problems are too few to calibrate on; give {FEWEST}, better hundreds")


def _measure(
    database: Database,
    reader: DatasetReader,
    trials: Trials,
    budgets: Sequence[int],
    *,
    skip_bad: bool,
    quiet: bool,
) -> tuple[Policy, dict[str, Any]]:
    from scheduler.calibration import calibrate as fit
    from scheduler.outcomes import read_outcomes
    from scheduler.submission import specify

    # What is wrong with any of them is said before the first is answered.
    specifications = [specify(request)[0] for request in trials.requests]
    job_ids = answer_all(database, reader, trials.requests, skip_bad=skip_bad, quiet=quiet)
    asked = specifications[0]
    with output.notes.status("fitting ..."):
        recorded = read_outcomes(database, job_ids[0], dict(zip(trials.searches, job_ids[1:], strict=True)))
        if len(recorded) < FEWEST:
            raise UserError(
                f"only {len(recorded)} problems were answered in every job, which are too few; `tts-jobs retry JOB` tries "
                f"failed ones again (jobs {', '.join(map(str, job_ids))})"
            )
        policy, evidence = fit(
            recorded,
            trials.arms,
            (asked.generator, asked.generator_identity),
            (asked.verifier, asked.verifier_identity or asked.verifier) if asked.verifier is not None else None,
            budgets,
            seed=asked.seed,
        )
    source = {"dataset": reader.name, "template": asked.template["name"], "sampling": asked.sampling}
    return policy, {**evidence, "source": source}


def _tell(policy: Policy, evidence: dict[str, Any], whole: str, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"name": whole, "policy": policy.model_dump(mode="json"), "evidence": evidence})
        return
    measured = measured_of(evidence, whole)
    assert measured is not None
    show_policy(policy, measured, whole)
    if not policy_plot.say_what_is_missing():
        drawn = plot.in_terminal(policy_plot.curves(measured), output.console.width)
        output.console.print(drawn, markup=False)
        png = settings().home / "policies" / f"{whole}.png"
        policy_plot.as_png(policy, measured, png, whole)
        output.console.print(f"plot: {output.safe(str(png))}", soft_wrap=True)
    output.console.print(f"use it: tts-jobs run FILE --policy {whole.partition('@')[0]}", soft_wrap=True)
