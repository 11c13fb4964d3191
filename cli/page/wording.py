"""The page's sentences: its title, what its jobs come to, and two jobs compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cli import output

Job = dict[str, Any]
Pair = dict[str, Any]
NAMES = {"flops": "FLOPs", "tokens": "tokens"}


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
    unit = next((unit for unit in ("flops", "tokens") if all(job["per_query"][unit] for job in graded)), None)
    best = max(graded, key=lambda job: (job["accuracy"], -job["per_query"][unit] if unit else -job["job_id"]))
    reached = (
        f"{output.percent(best['accuracy'])} ({100 * best['accuracy_low']:.1f} to {100 * best['accuracy_high']:.1f})"
    )
    if len(graded) == 1:
        return f"{best['label']} answers {reached} of {best['graded']} problems right."
    sentence = f"{best['label']} does best, {reached} of {best['graded']} problems right"
    if unit is None:
        return f"{sentence}; what that cost is not known of every job."
    cheapest = min(graded, key=lambda job: (job["per_query"][unit], -job["accuracy"]))
    if best is cheapest:
        return (
            f"{best['label']} is the cheapest of {len(graded)} jobs and none does better: {reached} of {best['graded']} "
            "problems right."
        )
    pair = next((one for one in pairs if (one["a"], one["b"]) == (cheapest["job_id"], best["job_id"])), None)
    if pair is not None:
        sentence += f": {points(pair)} over {cheapest['label']}"
    ratio = best["per_query"][unit] / cheapest["per_query"][unit]
    sentence += f", for {times(ratio)} {'its' if pair else 'the'} {NAMES[unit]}"
    if pair is None:
        sentence += f" of {cheapest['label']}"
    elif pair["low"] <= 0 <= pair["high"]:
        sentence += f"; {pair['problems']} problems do not settle that it is better"
    return f"{sentence}."


def comparison(a: Job, b: Job, pair: Pair) -> str:
    """Job b against job a in words, with interval, test and price."""
    sentence = (
        f"{b['label']} over {a['label']}: {points(pair)} on {pair['problems']} problems, McNemar p = {pair['p']:.2g}"
    )
    return f"{sentence}, for {times(pair['cost_ratio'])} its FLOPs." if pair["cost_ratio"] else f"{sentence}."


def points(pair: Pair) -> str:
    return f"{100 * pair['gain']:+.1f} points (95 %: {100 * pair['low']:+.1f} to {100 * pair['high']:+.1f})"


def times(ratio: float) -> str:
    return f"{ratio:.2g} times" if ratio < 100 else f"{ratio:,.0f} times"


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
