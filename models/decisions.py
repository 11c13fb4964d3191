"""Decisions in words: question, answer and the figures behind it, as the report and the command line show them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from models.aligned import Aligned
from models.choices import ROUNDING, Choice
from models.efficiency import Efficiency
from models.exchange import Comparison, Match
from models.frontier import Frontier, Purchase, Standing, Step
from models.resampling import Interval
from models.scaling import Law, Refusal
from models.units import UNITS, percent, written, written_between


@dataclass(frozen=True, slots=True)
class Decision:
    """One question, answered in a sentence; `details` are JSON."""

    question: str
    answer: str
    details: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def frontier_rows(aligned: Aligned, frontier: Frontier) -> list[dict[str, Any]]:
    """The points of the frontier, from the cheapest, as the report document has them."""
    return [
        {
            "job_id": aligned.runs[one.place].job_id,
            "cost": one.cost.value,
            "unit": aligned.unit,
            "accuracy": one.accuracy.value,
            "low": one.accuracy.low,
            "high": one.accuracy.high,
        }
        for one in frontier.standings
        if one.dominated is None
    ]


def standing(aligned: Aligned, one: Standing) -> dict[str, Any]:
    """A job against the others."""
    found: dict[str, Any] = {
        **_run(aligned, one.place),
        "accuracy": one.accuracy._asdict(),
        "cost": one.cost._asdict(),
        "frontier": one.dominated is None,
        "envelope": one.envelope,
        "dominated_by": None,
    }
    if one.dominated is not None:
        found |= {
            "dominated_by": aligned.runs[one.dominated.by].job_id,
            "significant": one.dominated.significant,
            "gain": one.dominated.gain._asdict(),
            "saved": one.dominated.saved._asdict(),
        }
    return found


def frontier_decision(aligned: Aligned, frontier: Frontier) -> Decision:
    """Which jobs are worth their cost."""
    places, out = frontier.places, [one for one in frontier.standings if one.dominated is not None]
    surely = [one for one in out if one.dominated is not None and one.dominated.significant]
    answer = f"on the frontier: {_labels(aligned, places)}"
    if out:
        answer += f"; {len(out)} of {len(aligned.runs)} jobs are dominated, {len(surely)} of them significantly"
    rows = [standing(aligned, one) for one in frontier.standings]
    question = f"Which jobs on {aligned.dataset} are worth their {UNITS[aligned.unit]}?"
    return Decision(question, f"{answer}.", {"unit": aligned.unit, "problems": aligned.problems, "jobs": rows})


def step_decision(aligned: Aligned, step: Step) -> Decision:
    """What one more right answer costs between two neighbours."""
    cheaper, dearer = (aligned.runs[place].label for place in (step.cheaper, step.dearer))
    low, high = (None if end is None else written(end, aligned.unit) for end in (step.price.low, step.price.high))
    open_end = "and no upper bound: it is not surely more accurate" if high is None else f"to {high}"
    price = written(step.price.value, aligned.unit)
    return Decision(
        f"What does one more right answer cost from {cheaper} to {dearer}?",
        f"{price} (95 %: {low} {open_end}).",
        {"cheaper": _run(aligned, step.cheaper), "dearer": _run(aligned, step.dearer), "price": step.price._asdict()},
    )


def purchase_decision(aligned: Aligned, bought: Purchase, amount: float) -> Decision:
    """What so much more than one job's cost would buy on the whole dataset."""
    start, cheaper, dearer = (aligned.runs[place].label for place in (bought.place, bought.cheaper, bought.dearer))
    spent = written(amount, aligned.unit)
    more = f"{bought.more.value:+.1f} right answers {_range(bought.more, '{:+.1f}')} on {aligned.size} problems"
    if bought.place == bought.dearer or (bought.cheaper == bought.place and bought.share == 0):
        answer = f"nothing that was measured: no job is more accurate than {start}"
    elif bought.share == 0:
        answer = f"{more}, with {cheaper}"
    elif bought.cheaper == bought.dearer:
        answer = f"{more}, with {dearer}"
    else:
        answer = (
            f"{more}, with {percent(bought.share)} of the problems answered as {dearer} and the others as {cheaper}"
        )
    if bought.left > 0:
        answer += f"; {written(bought.left, aligned.unit)} are left over, and nothing is extrapolated"
    return Decision(
        f"What do the next {spent} buy beyond {start}?",
        f"{answer}.",
        {
            "from": _run(aligned, bought.place), "amount": amount, "unit": aligned.unit, "more": bought.more._asdict(),
            "cheaper": _run(aligned, bought.cheaper), "dearer": _run(aligned, bought.dearer), "share": bought.share,
            "left": bought.left,
        },
    )  # fmt: skip


def reach_decision(aligned: Aligned, choice: Choice, target: float) -> Decision:
    """The cheapest way to an accuracy, and whether it held on the other half."""
    question = f"What is the cheapest way to reach {percent(target)} on {aligned.dataset}?"
    details = {"target": target, **_choice(aligned, choice)}
    chosen = aligned.runs[choice.nearest].label
    on = f"{_accuracy(choice.on.accuracy)} on the half of the problems that it was chosen on"
    if choice.confirmed is None:
        return Decision(
            question, f"Not reached: the most is {chosen} with {on}.", {**details, "verdict": "not reached"}
        )
    other = choice.confirmed
    low, high = other.accuracy.low, other.accuracy.high
    assert low is not None
    assert high is not None
    verdict = "confirmed" if other.accuracy.value >= target else "refuted" if high < target else "undecided"
    said = {
        "confirmed": "confirmed" if low >= target else "confirmed, though its interval reaches below",
        "undecided": "not confirmed, though its interval reaches above",
        "refuted": "refuted: its interval lies below",
    }[verdict]
    whole = written(other.cost.value * aligned.size, aligned.unit)
    answer = (
        f"{chosen[0].upper()}{chosen[1:]}: {on}, {_accuracy(other.accuracy)} on the other ({said}), for "
        f"{_cost(other.cost, aligned.unit)} a query there, {whole} for all {aligned.size}."
    )
    return Decision(question, answer, {**details, "verdict": verdict})


def spend_decision(aligned: Aligned, choice: Choice, amount: float) -> Decision:
    """The most accurate job for an amount, and what it brought and took on the other half."""
    most = written(amount, aligned.unit)
    question = f"What is the best for {most} on the {aligned.size} problems of {aligned.dataset}?"
    details = {"amount": amount, "unit": aligned.unit, **_choice(aligned, choice)}
    chosen = aligned.runs[choice.nearest].label
    if choice.confirmed is None:
        least = written(choice.on.cost.value * aligned.size, aligned.unit)
        answer = f"Nothing fits: the cheapest is {chosen}, which would take {least}."
        return Decision(question, answer, {**details, "verdict": "nothing fits"})
    other = choice.confirmed
    whole = other.cost.value * aligned.size
    verdict = "confirmed" if whole <= amount * ROUNDING else "refuted"
    fits = "which fits" if verdict == "confirmed" else f"which is more than {most}"
    answer = (
        f"{chosen[0].upper()}{chosen[1:]}: {_accuracy(choice.on.accuracy)} on the half of the problems that it was chosen on, "
        f"{_accuracy(other.accuracy)} on the other, where it would take {written(whole, aligned.unit)} for all, {fits}."
    )
    return Decision(question, answer, {**details, "verdict": verdict})


def efficiency_decision(aligned: Aligned, base: list[int], ours: list[int], found: Efficiency) -> Decision:
    """How many times as much one set of jobs costs as another for the same accuracy."""
    where = "" if found.q is None else f", {found.q:g} of what the first set gains from its cheapest to its best"
    question = f"How many times the {UNITS[aligned.unit]} of {_labels(aligned, ours)} do {_labels(aligned, base)} take at {percent(found.accuracy)}{where}?"  # fmt: skip
    details = {
        **asdict(found), "unit": aligned.unit, "base_jobs": [aligned.runs[place].job_id for place in base],
        "our_jobs": [aligned.runs[place].job_id for place in ours],
    }  # fmt: skip
    if found.ours is None or found.factor is None:
        said = "the second set does not reach it" + ("" if found.base is not None else ", nor does the first")
        return Decision(question, f"Not reached: {said}; nothing is extrapolated.", details)
    first = "not reached by the first set" if found.base is None else written(found.base, aligned.unit)
    low, high = ("not reached" if end is None else f"{end:.2f}" for end in (found.low, found.high))
    times = f"{'at least ' * found.at_least}{found.factor:.2f} times (95 %: {low} to {high})"
    return Decision(question, f"{times}: {first} against {written(found.ours, aligned.unit)} a query.", details)


def law_decision(family: str, found: Law | Refusal, unit: str, labels: list[str] | None = None) -> Decision:
    """The scaling law of a family, or why there is none. `labels` name the settings."""
    question = f"How does the accuracy of {family} grow with its {UNITS[unit]}?"
    if isinstance(found, Refusal):
        sentence = found.sentence
        if found.fall is not None and labels is not None:
            sentence += f" (from {labels[found.fall.cheaper]} to {labels[found.fall.dearer]}, 95 %: {100 * (found.fall.change.low or 0):+.1f} to {100 * (found.fall.change.high or 0):+.1f})"  # fmt: skip
        return Decision(question, f"No law: {sentence}.", {"unit": unit, "refused": found.kind})
    cheapest, dearest = written(found.cheapest, unit), written(found.dearest, unit)
    answer = (
        f"accuracy = a - b (C / {cheapest})^-alpha with a = {_accuracy(found.a)}, b = {100 * found.b.value:.1f} points "
        f"{_range(found.b, '{:.1f}', 100)}, alpha = {found.alpha.value:.2f} {_range(found.alpha, '{:.2f}')}, between {cheapest} "
        f"and {dearest} a query; it leaves {100 * found.residual:.1f} points over (root mean square)."
    )
    named = ("a", "b", "alpha")
    figures = {name: getattr(found, name)._asdict() for name in named}
    rest = {name: getattr(found, name) for name in ("cheapest", "dearest", "residual")}
    return Decision(question, answer, {"unit": unit, "refused": None, **figures, **rest})


def comparison_decision(
    small: str, large: str, found: Comparison, unit: str, *, ratio: float | None = None, group: str | None = None
) -> Decision:
    """The smaller model's search against the larger one's single run, `ratio` R where pretraining is counted in."""
    scope = "" if group is None else f" on {group}"
    fair = f"equal {UNITS[unit]}" if ratio is None else f"equal FLOPs with pretraining, R = {ratio:g},"
    details = {
        "unit": unit, "ratio": ratio, "group": group, "verdict": found.verdict, "budget": found.budget, "beyond": found.beyond,
        **{name: None if one is None else one._asdict() for name, one in (("small", found.small), ("large", found.large), ("gain", found.gain))},
    }  # fmt: skip
    question = f"At {fair} what is better{scope}: {small} with more test-time compute, or {large}?"
    if found.gain is None or found.small is None:
        answer = f"{large}: its {written(found.budget, unit)} a query do not pay for the cheapest setting of {small}"
        return Decision(question, f"{answer}.", details)
    better = {"small": f"test-time compute with {small}", "large": large, "undecided": "undecided"}[found.verdict]
    at_least = ", its dearest setting costs less" if found.beyond else ""
    answer = (
        f"{better}: {_accuracy(found.small)} for {small}{at_least}, against {_accuracy(found.large)}, difference "
        f"{100 * found.gain.value:+.1f} points {_range(found.gain, '{:+.1f}', 100)} at {written(found.budget, unit)} a query"
    )
    return Decision(question, f"{answer}.", details)


def match_decision(small: str, large: str, found: Match, unit: str) -> Decision:
    """What the larger model's accuracy costs the smaller one."""
    question = f"What do the {percent(found.accuracy)} of {large} cost with {small}, in {UNITS[unit]}?"
    details = {
        "unit": unit, "accuracy": found.accuracy, "large": found.large, "small": found.cost,
        "ratio": None if found.ratio is None else found.ratio._asdict(),
    }  # fmt: skip
    if found.cost is None or found.ratio is None:
        return Decision(question, "Not reached by any of its jobs, nor by a mixture of two.", details)
    value, low, high = found.ratio
    cheaper = "cheaper" if value > 1 else "as cheap" if value == 1 else "dearer"
    said = "not reached" if low is None else f"{low:.2f}"
    answer = (
        f"{written(found.cost, unit)} a query against {written(found.large, unit)}: {small} is {cheaper}; the larger costs "
        f"{value:.2f} times as much (95 %: {said} to {high:.2f})"
    )
    return Decision(question, f"{answer}.", details)


def _choice(aligned: Aligned, choice: Choice) -> dict[str, Any]:
    def half(one: Any) -> dict[str, Any] | None:
        if one is None:
            return None
        return {"problems": one.problems, "accuracy": one.accuracy._asdict(), "cost": one.cost._asdict()}

    return {
        "job": None if choice.place is None else _run(aligned, choice.place),
        "nearest": _run(aligned, choice.nearest),
        "unit": aligned.unit,
        "chosen_on": half(choice.on),
        "confirmed_on": half(choice.confirmed),
    }


def _run(aligned: Aligned, place: int) -> dict[str, Any]:
    run = aligned.runs[place]
    named = ("job_id", "name", "generator", "verifier", "strategy", "budget", "oracle")
    return {name: getattr(run, name) for name in named}


def _labels(aligned: Aligned, places: list[int]) -> str:
    labels = [aligned.runs[place].label for place in places]
    return " and ".join(filter(None, [", ".join(labels[:-1]), labels[-1]]))


def _accuracy(one: Interval) -> str:
    return f"{percent(one.value)} {_range(one, '{:.1f}', 100)}"


def _cost(one: Interval, unit: str) -> str:
    return written_between(one.value, one.low, one.high, unit).replace("(", "(95 %: ")


def _range(one: Interval, form: str, times: float = 1) -> str:
    low, high = ("unbounded" if end is None else form.format(times * end) for end in (one.low, one.high))
    return f"(95 %: {low} to {high})"
