"""The options that describe a job, shared by `run`, `submit`, `estimate` and, in part, `calibrate`."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from cli import output
from models.budgets import parse_budget
from models.errors import UserError

if TYPE_CHECKING:
    from models.database import Database
    from scheduler.policy import Policy
    from scheduler.readers import DatasetReader
    from scheduler.submission import Request, Submitted

DEFAULT_PRIORITY = 5

_Options = list[Callable[..., Any]]

_ASKED: _Options = [
    click.argument("source", metavar="FILE"),
    click.option("--generator", "-g", default="smollm2", show_default=True, help="Model: a name, directory, .gguf file, URL or owner/name."),
]  # fmt: skip
_SPENT: _Options = [
    click.option("--strategy", "-s", help="How compute is spent; `tts-jobs strategies` lists them.  [default: majority_vote; compute_optimal where one of its options is given]"),
    click.option("--param", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter of the strategy, such as aggregation=min."),
    click.option("--budget", "-b", default="4", show_default=True, help="Per query: 16 (samples), 4000tokens, 2e12flops, 0.01usd."),
    click.option("--effort", type=click.Choice(["low", "medium", "high"]), help="How long a reasoning model thinks under budget_forcing."),
    click.option("--difficulty", type=click.Choice(["probe", "given", "prior", "oracle", "none"]), help="Of compute_optimal: where it has from how hard a query is: a probe of its own (default), --field level, earlier jobs, their graded samples (an oracle), or nowhere."),
    click.option("--policy", metavar="NAME[@VERSION]", help="Of compute_optimal: the calibrated policy that chooses; a table that needs no calibration by default."),
    click.option("--policy-anyway", is_flag=True, help="Take a policy that was measured on other models."),
    click.option("--allocation", type=click.Choice(["uniform", "policy", "adaptive"]), help="Of compute_optimal: the same budget for every query, by its bin (default), or to whoever gains most from it."),
]  # fmt: skip
_ANSWERED: _Options = [
    click.option("--verifier", "-v", default=None, help="mean_logprob (default where one is needed), judge, judge:GENERATOR, exact (an oracle), or a reward model: tiny-prm (for tiny models), qwen-prm, math-shepherd, rlhflow, skywork, or a [verifiers.NAME] table."),
    click.option("--template", "-t", help="Prompt template, or a Jinja file; the model's own, or math-boxed."),
    click.option("--answer", metavar="KIND", help="What an answer is: math, number, choice, text or a package's grader (docs/grading.md); the template's own by default."),
    click.option("--tolerance", type=click.FloatRange(0, 1, max_open=True), help="With numbers: equal up to this relative difference, such as 0.01."),
    click.option("--temperature", type=click.FloatRange(0, 5), help="Sampling temperature."),
    click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), help="Nucleus sampling; 1 switches it off."),
    click.option("--top-k", type=click.IntRange(0), help="Keep the k likeliest tokens; 0 switches it off."),
    click.option("--min-p", type=click.FloatRange(0, 1), help="Keep tokens at least this likely relative to the likeliest."),
    click.option("--max-tokens", type=click.IntRange(1), help="Longest completion, in tokens."),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
]  # fmt: skip
_HELD: _Options = [
    click.option("--keep-tree", type=click.Choice(["full", "winners", "none"]), default="full", show_default=True, help="Candidates to store: all, those that came to an end, or the answer's own steps."),
    click.option("--name", help="What to call the job."),
    click.option("--priority", type=click.IntRange(0, 9), default=DEFAULT_PRIORITY, show_default=True, help="0 is the most urgent."),
    click.option("--job-budget", help="Cap for the whole job, in the same units as --budget."),
    click.option("--deadline", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="Start nothing after this time (UTC)."),
    click.option("--fail-on-error", type=click.FloatRange(0, 1), help="Pause when more than this share of the queries failed."),
]  # fmt: skip
_READ: _Options = [
    click.option("--preset", type=click.Choice(["openai-batch", "gsm8k", "math", "aime", "svamp", "choice", "generic"]), help="Column layout; recognised by itself otherwise."),
    click.option("--field", "fields", multiple=True, metavar="FIELD=COLUMN", help="prompt, answer, key, subject, level or choices."),
    click.option("--split", default="test", show_default=True, help="Split of a hub dataset."),
    click.option("--limit", type=click.IntRange(1), help="Read only the first rows."),
    click.option("--skip-bad", is_flag=True, help="Leave out rows that cannot be used instead of refusing the file."),
]  # fmt: skip
_AGAIN: _Options = [
    click.option("--new", is_flag=True, help="Make another replicate of a job that exists, with a seed of its own."),
]  # fmt: skip


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options and hands the command a dict of them as `job`."""
    names = {"as_json", "quiet"}

    @functools.wraps(command)
    def wrapper(**values: Any) -> Any:
        own = {name: values.pop(name) for name in list(values) if name in names}
        return command(job=values, **own)

    return _with(wrapper, [*_ASKED, *_SPENT, *_ANSWERED, *_HELD, *_READ, *_AGAIN])


def question_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds those that say what is asked, of which models and under what template and sampling."""
    return _with(command, [*_ASKED, *_ANSWERED, *_READ])


def _with(command: Callable[..., Any], options: _Options) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


def reader_of(job: dict[str, Any]) -> DatasetReader:
    from scheduler.fields import parse_field_options
    from scheduler.readers import open_dataset

    fields = parse_field_options(job["fields"]) if job["fields"] else None
    reader = open_dataset(job["source"], fields, preset=job["preset"], limit=job["limit"], split=job["split"])
    taken = [f"{name} {value:g}" for name, value in reader.sampling.items() if job[name] is None]
    if taken:
        output.notes.print(
            f"[dim]as the file asks: {', '.join(taken)}; options of the command come first[/dim]", soft_wrap=True
        )
    if reader.sampling.get("temperature") == 0 == (job["temperature"] or 0) and job.get("strategy") != "greedy":
        output.notes.print(
            "[yellow]at temperature 0 all samples of a query are alike; --temperature 0.7 lets them differ[/yellow]",
            soft_wrap=True,
        )
    return reader


def request_of(job: dict[str, Any], reader: DatasetReader, database: Database | None) -> Request:
    """The request that the options make; a named policy is read from `database`, None where there is none yet."""
    from scheduler.submission import Request

    return Request(
        **question_of(job, reader),
        strategy=job["strategy"] or _usual_strategy(job),
        parameters=parameters_of(job["parameters"]),
        budget=parse_budget(job["budget"], "--budget"),
        keep_tree=job["keep_tree"],
        name=job["name"],
        priority=job["priority"],
        job_budget=parse_budget(job["job_budget"], "--job-budget") if job["job_budget"] else None,
        deadline=_utc(job["deadline"]),
        fail_on_error=job["fail_on_error"],
        effort=job["effort"],
        difficulty=job["difficulty"],
        policy=_policy(job["policy"], database) if job["policy"] else None,
        policy_anyway=job["policy_anyway"],
        allocation=job["allocation"],
    )


def _usual_strategy(job: dict[str, Any]) -> str:
    staged = any(job[name] is not None for name in ("difficulty", "policy", "allocation"))
    return "compute_optimal" if staged else "majority_vote"


def question_of(job: dict[str, Any], reader: DatasetReader) -> dict[str, Any]:
    """What `question_options` say, but for the dataset, as fields of a `Request`; a dataset's own sampling where they
    say nothing of it."""
    sampling = {
        **reader.sampling,
        **{
            name: job[name]
            for name in ("temperature", "top_p", "top_k", "min_p", "max_tokens")
            if job[name] is not None
        },
    }
    named = ("generator", "verifier", "template", "answer", "tolerance", "seed")
    return {**{name: job[name] for name in named}, "sampling": sampling}


def say_what_was_ignored(job: dict[str, Any], submitted: Submitted) -> None:
    """A job that exists keeps its cap, deadline and priority: say so where the command asked for others."""
    if submitted.created:
        return
    given = ("job_budget", "deadline", "fail_on_error")
    asked = ["--" + name.replace("_", "-") for name in given if job[name] is not None]
    asked += ["--priority"] if job["priority"] != DEFAULT_PRIORITY else []
    if asked:
        output.notes.print(
            f"[yellow]job {submitted.job_id} was made before and stays as it is: {', '.join(asked)} not applied; "
            f"`tts-jobs resume {submitted.job_id}` changes cap, deadline and priority[/yellow]"
        )


def _policy(name: str, database: Database | None) -> tuple[Policy, str]:
    from scheduler.policies import load_policy

    if database is None:
        raise UserError(f"--policy: no policy {name!r}, for there is no database yet; `tts-jobs calibrate` makes both")
    with database.reading() as connection:
        return load_policy(connection, name)


def parameters_of(options: tuple[str, ...]) -> dict[str, Any]:
    parameters = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or not name:
            raise UserError(f"--param {option}: write NAME=VALUE, as in --param aggregation=min")
        try:
            parameters[name] = json.loads(value)
        except ValueError:
            parameters[name] = value
    return parameters


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    deadline = moment.replace(tzinfo=UTC)
    if deadline <= datetime.now(UTC):
        raise UserError(f"--deadline {deadline:%Y-%m-%dT%H:%M:%S}: this is past (UTC); give a time to come")
    return deadline
