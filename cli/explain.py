"""`tts-jobs explain`: why a query got the strategy and the budget that it got."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from cli import output
from models import courses, reports
from models.database import open_database

if TYPE_CHECKING:
    from scheduler.decisions import Decision
    from scheduler.policy import Policy

GIVEN = {
    "given": "its level says",
    "prior": "earlier jobs on this problem say",
    "oracle": "graded samples of other jobs say (an oracle)",
    "none": "nothing was asked about it, so that it counts as even",
}


@click.command()
@click.argument("job")
@click.argument("key")
@output.json_option
def explain(job: str, key: str, as_json: bool) -> None:
    """Tell in plain words why the problem KEY got its strategy and budget in JOB (a number, a name or `last`).

    \b
    Example:
      tts-jobs explain last word-03
    """
    database = open_database()
    with database.reading() as connection:
        job_id = reports.find_job(connection, job)
        query = reports.query_of(connection, job_id, key)
        course = courses.course_of(connection, query["id"])
    sentences = tell(query, course)
    if as_json:
        specification = course.pop("specification")
        chosen = {name: specification.get(name) for name in ("difficulty", "policy", "allocation", "plan")}
        output.print_json(
            {
                "job_id": job_id,
                **{name: query[name] for name in ("key", "state", "stopped", "answer", "correct")},
                **course,
                **{f"job_{name}": value for name, value in chosen.items()},
                "explanation": sentences,
            }
        )
        return
    for sentence in sentences:
        output.console.print(output.safe(sentence), soft_wrap=True)


def tell(query: Mapping[str, Any], course: Mapping[str, Any]) -> list[str]:
    """One sentence or more for each thing that was decided."""
    specification = course["specification"]
    if specification.get("plan") is None:
        return [
            f"Every query of this job gets the same: {specification['strategy']} with a budget of "
            f"{_amount(specification['budget_amount'], specification['budget_unit'])}; nothing was decided for this one."
        ]
    from scheduler.decisions import read
    from scheduler.policy import Policy

    policy = Policy.model_validate(specification["plan"])
    decisions = read(course["decisions"])
    if not decisions:
        return [f"Nothing has been decided yet: the query is {query['state']}."]
    told = [_introduction(policy, specification)]
    told += [_decided(one, policy, specification) for one in decisions]
    if course["evidence"] is not None:
        told.append(_evidence(course["evidence"]))
    told.append(_present(query, course))
    return told


def _introduction(policy: Policy, specification: Mapping[str, Any]) -> str:
    bounds = ", ".join(f"{bound:.3g}" for bound in policy.thresholds)
    kind = "calibrated" if policy.calibrated else "not calibrated"
    return (
        f"The policy {specification['policy']} ({kind}) has {len(policy.thresholds) + 1} bins, parted by the probability that "
        f"one sample is wrong: {bounds}. The job's budget is {specification['budget_amount']:g} samples a query, allocation "
        f"{specification['allocation']}."
    )


def _decided(one: Decision, policy: Policy, specification: Mapping[str, Any]) -> str:
    seen = f"After {_samples(one.drawn)}" if one.drawn else "At first"
    if one.failure is not None and one.bin is not None:
        source = "" if one.drawn else f", as {GIVEN.get(specification['difficulty'], 'its probe says')}"
        seen += f" the probability that one sample is wrong is {one.failure:.2f}{source}: bin {one.bin + 1}"
    arm = None if one.arm is None else policy.arms[one.arm]
    chosen = f"{arm.strategy}, {_samples(one.samples)} in all" if arm else f"a vote of {_samples(one.samples)}"
    if one.reason == "probe":
        more = "the greedy one" if one.samples == 1 else f"{_samples(one.samples)} in all"
        return (
            f"{seen}; it is probed with {more}."
            if one.drawn
            else f"{seen}, nothing is known; it is probed with {more}."
        )
    if one.reason == "chosen":
        return f"{seen}; the policy gives that bin {chosen}, as its last stage."
    if one.reason == "granted":
        return f"{seen}; of all that the job can buy it gains most from {chosen}: {one.gain:+.3f} of being right."
    if one.reason == "settled":
        return f"{seen}; nothing more is worth its cost, so that the answer stays."
    lacking = "budget" if one.reason == "budget" else "time"
    if one.samples is None:
        return f"{seen}; the job's {lacking} was used up before anything more was decided."
    return f"{seen}; it was to get {chosen}, and the job's {lacking} was used up."


def _evidence(evidence: Mapping[str, Any]) -> str:
    told = (
        f"What that goes by: {_samples(evidence['drawn'])}, {evidence['leading']} for the leading answer, {evidence['second']} "
        f"for the next, {evidence['unread']} without a readable answer"
    )
    if evidence["logprob"] is not None:
        told += f"; mean log-probability {evidence['logprob']:.3f} a token"
    if evidence["score"] is not None:
        told += f"; mean verifier score {evidence['score']:.3f}"
    return told + "."


def _present(query: Mapping[str, Any], course: Mapping[str, Any]) -> str:
    answer = "no answer" if query["answer"] is None else f"the answer {query['answer']}"
    votes = f", with {query['votes']} of {query['voters']} votes" if query["votes"] else ""
    sure = (
        f"; foretold to be right with probability {course['confidence']:.2f}"
        if course["confidence"] is not None
        else ""
    )
    return f"It is {query['state']}, with {answer}{votes}{sure}."


def _samples(count: float | None) -> str:
    return "no sample" if not count else f"{count:g} sample{'' if count == 1 else 's'}"


def _amount(amount: float, unit: str) -> str:
    return _samples(amount) if unit == "samples" else f"{amount:g} {unit}"
