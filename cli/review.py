"""`tts-jobs review`: how sure each answer is, and which ones a person should look at."""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click
from sqlalchemy import Connection

from cli import output
from cli.exporters import write_results
from models import reports
from models.database import open_database
from models.errors import UserError
from models.specification import JobSpecification
from models.statistics import wilson
from models.transitions import JOB

PAGE = 500
SHIFT = (
    "this holds as far as the new problems are like those that were learnt from: nothing here can tell whether they are "
    "harder or of another kind; grade a few of the answers to see"
)
COLUMNS = [("key", "left"), ("problem", "left"), ("answer", "left"), ("right", "right"), ("votes", "right")]
LONGEST = 60
"""Characters of a problem or an answer in a table."""


@click.command()
@click.argument("job", metavar="JOB")
@click.option("--calibrated-on", metavar="JOB", help="A graded job of the same generator, verifier and strategy to learn from.")  # fmt: skip
@click.option("--risk", type=click.FloatRange(0, 1), help="Share of wrong answers that is allowed among those that nobody looks at.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many answers to list.")
@click.option("--csv", "csv_", metavar="FILE", help="Write the whole list to this file, or - for standard output.")
@output.json_option
def review(
    job: str, calibrated_on: str | None, risk: float | None, limit: int, csv_: str | None, as_json: bool
) -> None:
    """How sure each answer of JOB (a number, a name or `last`) is, and which ones a person should look at.

    A calibrated policy has foretold it already. For other jobs it is learnt from the votes and scores of a graded job
    (--calibrated-on) and checked by cross-validation. The list has the least certain answers first; with --risk, those
    that are not sure enough to go unseen, the nearest to it first. Where the job has references, what was foretold is
    compared with them. Intervals are 95 %.

    \b
    Example:
      tts-jobs review last --calibrated-on known --risk 0.05
      tts-jobs review 7 --calibrated-on 3 --csv review.csv
    """
    if csv_ == "-" and as_json:
        raise UserError("--csv: standard output carries JSON already; name a file with --csv FILE")
    with open_database().reading() as connection:
        found = _review(connection, job, calibrated_on, risk)
        found["review"] = list(itertools.islice(_rows(connection, found), limit))
        if csv_ is not None:
            write_results(_rows(connection, found), csv_, "csv")
    if as_json:
        hidden = ("order", "chances")
        output.print_json({name: value for name, value in found.items() if name not in hidden})
    elif csv_ != "-":
        _show(found)


def _review(connection: Connection, job: str, calibrated_on: str | None, risk: float | None) -> dict[str, Any]:
    """All but the list itself; `order` has the queries in the list's order with their `chances` of being right."""
    import numpy as np

    from models.answers import read_answers
    from scheduler.assurance import calibrated, foretold, risk_coverage
    from scheduler.regression import reliability

    job_id = reports.find_job(connection, job)
    (summary,) = reports.job_summaries(connection, [job_id])
    answers = read_answers(connection, job_id)
    if not len(answers):
        raise UserError(f"job {job_id} has no answer yet; wait for it with `tts-jobs watch {job_id}`")
    known_id = None
    caveats = [SHIFT]
    if calibrated_on is None:
        if np.isnan(answers.confidence[answers.answered]).all():
            raise UserError(
                f"job {job_id}: no calibrated policy foretold how sure its answers are; name a graded job of the same "
                "generator, verifier and strategy with --calibrated-on JOB"
            )
        assured = foretold(answers)
    else:
        if importlib.util.find_spec("sklearn") is None:
            raise UserError("--calibrated-on needs scikit-learn; run: pip install 'tts-jobs[calibrate]'")
        known_id = reports.find_job(connection, calibrated_on)
        caveats += _differences(connection, job_id, known_id)
        assured = calibrated(answers, read_answers(connection, known_id))
    curve = risk_coverage(answers, assured.right)
    # The least certain first; what nothing is known of before all.
    order = np.argsort(np.where(np.isnan(assured.right), -1.0, assured.right), kind="stable")
    automatic = None if risk is None else curve.automatic(risk)
    if automatic is not None:
        order = order[~np.isin(order, curve.order[:automatic])][::-1]
    if unknown := int(np.isnan(assured.right).sum()):
        caveats.append(f"of {unknown} answers nothing is foretold: they are in no figure, and for review")
    if missing := summary["queries"] - len(answers):
        caveats.append(f"{missing} of {summary['queries']} queries are not done and in no figure")
    graded = ~np.isnan(answers.right) & ~np.isnan(assured.right)
    truth = None
    if count := int(graded.sum()):
        right = answers.right[graded]
        low, high = wilson(int(right.sum()), count)
        truth = {
            "graded": count,
            "accuracy": float(right.mean()),
            "low": low,
            "high": high,
            "predicted": float(assured.right[graded].mean()),
            "reliability": asdict(reliability(assured.right[graded], right)),
            "aurc": curve.true_aurc,
        }
    plan = None
    if automatic is not None:
        plan = {
            "risk": risk,
            "automatic": automatic,
            "review": len(answers) - automatic,
            "threshold": float(assured.right[curve.order[automatic - 1]]) if automatic else None,
            "foretold_risk": float(curve.risk[automatic - 1]) if automatic else None,
            "true_risk": float(curve.truth[automatic - 1]) if automatic and curve.truth is not None else None,
        }
    return {
        "job_id": job_id,
        "name": summary["name"],
        "oracle": summary["oracle"],
        "calibrated_on": known_id,
        "queries": len(answers),
        "answered": int(answers.answered.sum()),
        "predicted_accuracy": assured.accuracy,
        "low": assured.low,
        "high": assured.high,
        "validated": None if assured.validated is None else asdict(assured.validated),
        "truth": truth,
        "aurc": curve.aurc if len(curve.order) else None,
        "risk_coverage": list(curve.points()) if len(curve.order) else [],
        "plan": plan,
        "caveats": caveats,
        "order": answers.query_id[order].tolist(),
        "chances": dict(zip(answers.query_id.tolist(), assured.right.tolist(), strict=True)),
    }


def _differences(connection: Connection, job_id: int, known_id: int) -> list[str]:
    """What of the jobs differs and only matters.

    Raises:
        UserError: they are of different kinds, so that one tells nothing of the other.
    """
    if job_id == known_id:
        raise UserError("--calibrated-on: a job cannot be calibrated on itself; name another one, which is graded")
    jobs = {
        row.id: JobSpecification(**row.specification)
        for row in connection.execute(
            JOB.select().with_only_columns(JOB.c.id, JOB.c.specification).where(JOB.c.id.in_([job_id, known_id]))
        )
    }
    ours, theirs = jobs[job_id], jobs[known_id]
    for name in ("generator", "verifier", "strategy"):
        if getattr(ours, name) != getattr(theirs, name):
            raise UserError(
                f"--calibrated-on: job {known_id} has the {name} {getattr(theirs, name)} and job {job_id} "
                f"{getattr(ours, name)}; name a graded job of the same generator, verifier and strategy"
            )
    differs = [
        name.replace("_", " ")
        for name in ("generator_identity", "verifier_identity", "parameters", "budget_amount", "budget_unit", "sampling", "template")
        if getattr(ours, name) != getattr(theirs, name)
    ]  # fmt: skip
    return [f"job {known_id} differs in its {', '.join(differs)}"] if differs else []


def _rows(connection: Connection, found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The list, read page by page."""
    from models.answers import describe

    order = found["order"]
    for start in range(0, len(order), PAGE):
        rows = describe(connection, order[start : start + PAGE])
        for query_id in order[start : start + PAGE]:
            chance = found["chances"][query_id]
            yield {**rows[query_id], "probability": None if math.isnan(chance) else chance}


def _show(found: dict[str, Any]) -> None:
    def say(text: str) -> None:
        output.console.print(output.safe(text), soft_wrap=True)

    oracle = " (oracle)" if found["oracle"] else ""
    say(
        f"job {found['job_id']}{oracle}: {found['answered']} answers to {found['queries']} problems; "
        f"{_interval(found['predicted_accuracy'], found)} are foretold to be right"
    )
    if found["calibrated_on"] is None:
        say("by the policy that chose their strategies")
    else:
        checked = found["validated"]
        say(
            f"learnt from job {found['calibrated_on']}; on problems left out: calibration error "
            f"{output.percent(checked['ece'])}, Brier score {checked['brier']:.3f}"
        )
    if (truth := found["truth"]) is not None:
        one = truth["reliability"]
        say(
            f"really right: {_interval(truth['accuracy'], truth)} of {truth['graded']} graded ones, foretold "
            f"{output.percent(truth['predicted'])}; calibration error {output.percent(one['ece'])}, Brier score {one['brier']:.3f}"
        )
    if found["aurc"] is not None:
        real = f", really {truth['aurc']:.3f}" if truth is not None and truth["aurc"] is not None else ""
        say(f"area under the risk-coverage curve: {found['aurc']:.3f}{real}")
    if (plan := found["plan"]) is not None:
        wrong = f", {output.percent(plan['foretold_risk'])} of them foretold to be wrong" if plan["automatic"] else ""
        if plan["true_risk"] is not None:
            wrong += f" (really {output.percent(plan['true_risk'])})"
        say(f"answer the {plan['automatic']} surest automatically{wrong}; have {plan['review']} reviewed")
    if found["review"]:
        rows = [
            [
                row["key"],
                _short(row["prompt"]),
                _short(row["answer"] or "-"),
                output.percent(row["probability"]) if row["probability"] is not None else "unknown",
                "-" if row["votes"] is None else f"{row['votes']} of {row['voters']}",
            ]
            for row in found["review"]
        ]
        output.console.print(output.table(None, COLUMNS, rows))
    for caveat in found["caveats"]:
        say(f"note: {caveat}")


def _interval(value: float, of: dict[str, Any]) -> str:
    return f"{100 * value:.1f} % ({100 * of['low']:.1f} to {100 * of['high']:.1f})"


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST else f"{flat[: LONGEST - 1]}…"
