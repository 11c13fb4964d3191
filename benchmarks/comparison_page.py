"""The page, the plot and the figures of a comparison of compute-optimal answering with what is the same for every problem."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from benchmarks.baselines import UNIFORM, Factors, Line
from benchmarks.comparison import SUBSETS, Comparison
from benchmarks.tables import write_between
from cli import plot
from lab.replay import separation
from models.efficiency import Efficiency
from scheduler.calibration import TARGETS, break_even
from scheduler.outcomes import Recorded
from scheduler.validation import ratio_interval

DRAWN = ("greedy", "majority_vote", "weighted_vote", "beam_search", "rebase", "policy", "adaptive")
UNITS = {"flops": "FLOPs", "seconds": "GPU-seconds"}


def write(found: Mapping[str, Comparison], folder: Path) -> None:
    """`compute-optimal.md`, `.csv` and a plot for each mix of problems, by its name."""
    folder.mkdir(parents=True, exist_ok=True)
    page, figures = folder / "compute-optimal.md", folder / "compute-optimal.csv"
    write_between(
        page,
        "Compute-optimal answering",
        "benchmarks.compute_optimal",
        "".join(_section(mix, one) for mix, one in found.items()),
    )
    with figures.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["mix", "strategy", "setting", "accuracy", "low", "high", "flops", "gpu_seconds"])
        for mix, one in found.items():
            for name, line in one.lines.items():
                for place in range(len(line.settings)):
                    figures_of = [f"{value:.4g}" for value in _figures(line, place)]
                    rows.writerow([mix, name, line.settings[place], *figures_of])
    for mix, one in found.items():
        curves: plot.Curves = {
            name: [plot.Point(*_point(one.lines[name], place)) for place in _shown(one.lines[name])]
            for name in DRAWN
            if name in one.lines
        }
        plot.as_png(curves, _picture(folder, mix), f"tiny with tiny-prm, {len(one.held_out)} held-out problems, {mix}")
    print(f"written: {page}, {figures}")


def _picture(folder: Path, mix: str) -> Path:
    return folder / ("compute-optimal.png" if mix == "uniform" else f"compute-optimal-{mix}.png")


def _figures(line: Line, place: int) -> tuple[float, float, float, float, float]:
    """Accuracy, its interval, mean FLOPs and GPU-seconds."""
    accuracy = line.flops.accuracy[:, place]
    costs = (float(curve.cost[:, place].mean()) for curve in (line.flops, line.seconds))
    flops, seconds = costs
    return (*ratio_interval(accuracy, np.ones(len(accuracy))), flops, seconds)


def _point(line: Line, place: int) -> tuple[float, float, float, float]:
    accuracy, low, high, flops, _ = _figures(line, place)
    return flops, accuracy, low, high


def _shown(line: Line) -> list[int]:
    """Powers of two of an N; else settings that cost at least a tenth more than the last one shown."""
    if [int(name) if name.isdecimal() else 0 for name in line.settings] == [*range(1, len(line.settings) + 1)]:
        return [2**power - 1 for power in range(len(line.settings).bit_length())]
    cost, shown = line.flops.cost.mean(axis=0), [0]
    for place in range(1, len(cost)):
        if cost[place] > 1.1 * cost[shown[-1]]:
            shown.append(place)
    return shown


def _section(mix: str, one: Comparison) -> str:
    out = io.StringIO()
    samples = one.held_out[0].samples
    print(f"\n## {mix.capitalize()} mix\n", file=out)
    print(
        f"Calibrated on {len(one.calibration)} problems, measured on {len(one.held_out)} others, {samples} samples of each "
        f"(the first greedy). Votes, `policy` and `adaptive` are the mean over {SUBSETS} random orders of those, of N up to "
        f"half of them; searches ran for each width. Intervals are 95 %, a bootstrap over problems.\n",
        file=out,
    )
    print(_quality(one), file=out)
    print(_factors(one), file=out)
    print(_seeds(one), file=out)
    print(_variants(one), file=out)
    print(_cost(one), file=out)
    print(_table(one), file=out)
    print(_curves(one), file=out)
    return out.getvalue()


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _quality(one: Comparison) -> str:
    everything = np.concatenate([problem.right[1:] for problem in one.held_out])
    unread = np.concatenate([problem.answer_class < 0 for problem in one.held_out]).mean()
    greedy = mean(float(problem.right[0]) for problem in one.held_out)
    solved = mean(float(problem.right.any()) for problem in one.held_out)
    within = [area for problem in one.held_out if (area := _within(problem)) is not None]
    rungs = "; ".join(
        f"behind {drawn}: {found.ece:.3f} and {found.brier:.3f}" for drawn, found in one.reliability.items()
    )
    return (
        f"One sample is right in {100 * everything.mean():.1f} %, the greedy one in {100 * greedy:.1f} %, and any of all in "
        f"{100 * solved:.1f} %; {100 * unread:.1f} % have no readable answer (cut ones among them). Scoring a sample costs "
        f"{one.policy.scoring:.2f} times its drawing; within a problem the verifier ranks a right one above a wrong one in "
        f"{100 * mean(within):.1f} %. Expected calibration error and Brier score of the predicted failure on held-out "
        f"problems, by samples probed: {rungs}.\n"
    )


def _within(problem: Recorded) -> float | None:
    known = ~np.isnan(problem.score)
    right = problem.right[known]
    return None if right.all() or not right.any() else separation(problem.score[known].tolist(), right.tolist())


def _factors(one: Comparison) -> str:
    rows = [
        [name, UNITS[unit], f"{q:g}", f"{100 * first.accuracy:.1f}", str(first), str(second), single]
        for (name, unit), factors in one.factors.items()
        for q, (first, second, single) in factors.by_q.items()
    ]
    head = ["allocation", "cost in", "q", "a_q, %", "E against (1)", "E against (2)", "(2) is"]
    return (
        f"Efficiency factors: how many times as much (1) uniform `{UNIFORM}` at every N, and (2) the best single strategy, "
        f"chosen on the calibration problems, cost at the accuracy a_q.\n\n{_rows(head, rows)}"
    )


def _seeds(one: Comparison) -> str:
    rows = [
        [name, f"{q:g}", *(_spread([pair[place] for pair in pairs]) for place in (0, 1))]
        for (name, q), pairs in one.seeds.items()
    ]
    count = len(next(iter(one.seeds.values())))
    head = ["allocation", "q", "E against (1)", "E against (2)"]
    return (
        f"In FLOPs over {count} calibration seeds, each another four fifths of the calibration problems: mean, standard "
        f"deviation, and lowest to highest.\n\n{_rows(head, rows)}"
    )


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    missing = len(values) - len(known)
    if len(known) < 2:
        return f"not reached by {missing} of {len(values)}"
    text = f"{mean(known):.2f}, {stdev(known):.2f} ({min(known):.2f} to {max(known):.2f})"
    return f"{text}, not reached by {missing}" if missing else text


def _variants(one: Comparison) -> str:
    head = ["ablation", "q", "`policy` against (1)", "against (2)", "`adaptive` against (1)", "against (2)"]
    rows = [
        [variant.name, f"{q:g}", *_pair(variant.policy, q), *_pair(variant.adaptive, q)]
        for variant in one.variants
        for q in TARGETS
    ]
    return f"Ablations, E in FLOPs:\n\n{_rows(head, rows)}"


def _pair(factors: Factors | None, q: float) -> tuple[str, str]:
    return ("", "") if factors is None else (str(factors.by_q[q][0]), str(factors.by_q[q][1]))


def _cost(one: Comparison) -> str:
    parts = []
    for name in ("policy", "adaptive"):
        for unit, spent in (("flops", one.cost["flops"]), ("seconds", one.cost["gpu_seconds"])):
            first, second, _ = one.factors[name, unit].by_q[0.8]
            parts.append([name, UNITS[unit], _paid(spent, first), _paid(spent, second)])
    head = ["allocation", "counted in", "against (1)", "against (2)"]
    return (
        f"Calibrating took {one.cost['flops']:.3g} FLOPs and {one.cost['gpu_seconds']:.3g} GPU-seconds. Break-even at q = 0.8, "
        f"in problems:\n\n{_rows(head, parts)}"
    )


def _paid(spent: float, factor: Efficiency) -> str:
    after = break_even(spent, factor)
    return "never" if after is None else f"{after:,.0f}"


def _table(one: Comparison) -> str:
    policy = one.policy
    bounds = [0.0, *policy.thresholds, 1.0]
    head = ["budget", *(f"{low:.2f} to {high:.2f}" for low, high in pairwise(bounds))]
    rows = [
        [str(budget), *("-" if number is None else str(policy.arms[number]) for number in row)]
        for budget, row in policy.table.items()
    ]
    return (
        f"The table of `policy`, by the predicted probability that a sample fails (-: the probe's vote is the answer; a "
        f"search has {policy.probe[-1]} samples less, which the probe took):\n\n{_rows(head, rows)}"
    )


def _curves(one: Comparison) -> str:
    rows = []
    for name, line in one.lines.items():
        for place in _shown(line):
            accuracy, low, high, flops, seconds = _figures(line, place)
            shown = f"{100 * accuracy:.1f} ({100 * low:.1f} to {100 * high:.1f})"
            rows.append([name, line.settings[place], shown, f"{flops:.3g}", f"{seconds:.3g}"])
    return _rows(["strategy", "setting", "accuracy, %", "FLOPs a query", "GPU-s a query"], rows)
