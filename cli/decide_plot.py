"""The frontier as a picture: every job with its intervals, the dominated ones pale."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from cli import output, plot
from cli.exporters import replacing
from cli.policy_plot import say_what_is_missing
from models.aligned import Aligned
from models.frontier import Frontier, Standing, envelope
from models.units import UNITS


def draw(aligned: Aligned, frontier: Frontier, pictures: Sequence[tuple[Path, str]]) -> None:
    """Write it to each (path, `png` or `svg`), or say which package that takes.

    Raises:
        UserError: it cannot be written.
    """
    if say_what_is_missing():
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    # Only positive costs have a logarithm.
    if all(one.cost.value > 0 for one in frontier.standings):
        axes.set_xscale("log")
    for one in frontier.standings:
        _point(axes, aligned, one)
    accuracy, cost = aligned.right.mean(axis=0), aligned.cost.mean(axis=0)
    hull = envelope(accuracy, cost)
    places = frontier.places
    axes.step(cost[places], 100 * accuracy[places], where="post", color="C0", linewidth=1, label="frontier")
    # Mixtures lie on a straight line, which a logarithmic axis bends.
    shares = [number / 20 for number in range(21)]
    mixed = [
        [of[left] + share * (of[right] - of[left]) for left, right in pairwise(hull) for share in shares]
        for of in (cost, accuracy)
    ]
    axes.plot(mixed[0], [100 * value for value in mixed[1]], ":", color="C1", label="mixtures of two jobs")
    axes.set_xlabel(f"{UNITS[aligned.unit]} per query (bars: 95 %)")
    axes.set_ylabel(f"{plot.Y_LABEL} (bars: 95 %, Wilson)")
    axes.set_title(f"{aligned.dataset}: {aligned.problems} problems", parse_math=False)
    axes.grid(alpha=0.3)
    legend = axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, fontsize="small")
    for text in legend.get_texts():
        # A name may hold dollar signs.
        text.set_parse_math(False)
    for path, form in pictures:
        with replacing(path) as stream:
            figure.savefig(stream, format=form)
        output.notes.print(f"plot: {output.safe(str(path))}", soft_wrap=True)


def _point(axes: Any, aligned: Aligned, one: Standing) -> None:
    run, best = aligned.runs[one.place], one.dominated is None
    accuracy, cost = one.accuracy, one.cost
    assert accuracy.low is not None
    assert accuracy.high is not None
    assert cost.low is not None
    assert cost.high is not None
    colour = "C0" if best else "0.6"
    axes.errorbar(
        [cost.value],
        [100 * accuracy.value],
        [[100 * (accuracy.value - accuracy.low)], [100 * (accuracy.high - accuracy.value)]],
        [[max(cost.value - cost.low, 0)], [max(cost.high - cost.value, 0)]],
        marker="o" if best else "x",
        linestyle="",
        color=colour,
        capsize=2,
        elinewidth=0.8,
        label=run.label,
    )
    axes.annotate(str(run.job_id), (cost.value, 100 * accuracy.value), (4, 4), textcoords="offset points", color=colour)
