"""The page's sentences: its title, what its jobs come to, and two jobs compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Job = dict[str, Any]
Pair = dict[str, Any]


def title(jobs: Sequence[Job]) -> str:
    """`tiny on problems`, or how many jobs, where they differ in both."""
    generators = list(dict.fromkeys(job["generator"] for job in jobs))
    datasets = list(dict.fromkeys(job["dataset"] for job in jobs))
    if len(generators) <= 3 and len(datasets) <= 2:
        return f"{_list(generators)} on {_list(datasets)}"
    return f"{len(jobs)} jobs on {len(datasets)} dataset{'s' * (len(datasets) > 1)}"


def conclusion(jobs: Sequence[Job], pairs: Sequence[Pair]) -> str:
    """One sentence for each of the first three datasets: what did best, by how much, and at what price."""
    datasets = list(dict.fromkeys(job["dataset_id"] for job in jobs))
    said = []
    for dataset in datasets[:3]:
        group = [job for job in jobs if job["dataset_id"] == dataset]
        sentence = _conclusion(group, pairs)
        said.append(f"On {group[0]['dataset_label']}: {sentence}" if len(datasets) > 1 else sentence)
    return " ".join(said)


def _conclusion(jobs: Sequence[Job], pairs: Sequence[Pair]) -> str:
    graded = [job for job in jobs if job["accuracy"] is not None and not job["oracle"]]
    if not graded:
        oracle = any(job["oracle"] for job in jobs)
        return "Only an oracle was run." if oracle else "Accuracy is unknown: no answer could be graded."
    best = max(graded, key=lambda job: (job["accuracy"], -(job["per_query"]["flops"] or 0)))
    reached = f"{percent(best['accuracy'])} ({100 * best['accuracy_low']:.1f} to {100 * best['accuracy_high']:.1f})"
    if len(graded) == 1:
        return f"{best['label']} answers {reached} of {best['graded']} problems right."
    unit, cost = ("FLOPs", "flops") if all(job["per_query"]["flops"] for job in graded) else ("tokens", "tokens")
    cheapest = min(graded, key=lambda job: (job["per_query"][cost] or 0, -job["accuracy"]))
    if best is cheapest:
        return (
            f"{best['label']} is the cheapest of {len(graded)} jobs and none does better: {reached} of {best['graded']} "
            "problems right."
        )
    sentence = f"{best['label']} does best, {reached} of {best['graded']} problems right"
    pair = next((one for one in pairs if (one["a"], one["b"]) == (best["job_id"], cheapest["job_id"])), None)
    if pair is not None:
        sentence += f": {points(pair)} over {cheapest['label']}"
    if best["per_query"][cost] and cheapest["per_query"][cost]:
        sentence += f", for {times(best['per_query'][cost] / cheapest['per_query'][cost])} its {unit}"
    if pair is not None and pair["low"] <= 0 <= pair["high"]:
        sentence += f"; {pair['problems']} problems do not settle that it is better"
    return f"{sentence}."


def comparison(a: Job, b: Job, pair: Pair) -> str:
    """A pair in words, with its interval, test and price."""
    sentence = (
        f"{a['label']} over {b['label']}: {points(pair)} on {pair['problems']} problems, McNemar p = {pair['p']:.2g}"
    )
    return f"{sentence}, for {times(pair['cost_ratio'])} its FLOPs." if pair["cost_ratio"] else f"{sentence}."


def points(pair: Pair) -> str:
    return f"{100 * pair['gain']:+.1f} points (95 %: {100 * pair['low']:+.1f} to {100 * pair['high']:+.1f})"


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def times(ratio: float) -> str:
    return f"{ratio:.2g} times" if ratio < 100 else f"{ratio:,.0f} times"


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
