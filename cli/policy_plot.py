"""A policy as a picture: what it brings for its cost, how far its calibrators can be relied on, and each bin's accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli import output, plot
from cli.policy_view import bins
from models.errors import UserError
from scheduler.measured import Measured, Setting
from scheduler.policy import Policy


def curves(measured: Measured) -> plot.Curves:
    """Accuracy against FLOPs: the uniform strategy, the policy at each of its budgets, and a job shared out by gain."""
    found: dict[str, Sequence[Setting]] = {
        f"uniform {measured.uniform.strategy}": measured.uniform.curve,
        "policy": list(measured.budgets.values()),
        "adaptive": measured.adaptive,
    }
    return {
        name: [
            plot.Point(one.flops, one.accuracy, min(one.low, one.accuracy), max(one.high, one.accuracy))
            for one in settings
        ]
        for name, settings in found.items()
        if settings
    }


def say_what_is_missing() -> bool:
    """Whether nothing can be plotted, which is then said."""
    if plot.is_available():
        return False
    output.notes.print("for the plot: pip install 'tts-jobs\\[plot]', then run this again")
    return True


def as_png(policy: Policy, measured: Measured, path: Path, title: str) -> None:
    """All three, written to `path`.

    Raises:
        UserError: it cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(18, 5.5), dpi=130, layout="constrained")
    cost, reliance, each = figure.subplots(1, 3)
    _cost(cost, measured, title)
    _reliability(reliance, measured)
    _bins(each, policy, measured)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give a path that can be written") from None


def _cost(axes: Any, measured: Measured, title: str) -> None:
    for number, (name, points) in enumerate(curves(measured).items()):
        flops = [one.flops for one in points]
        axes.plot(flops, [100 * one.accuracy for one in points], marker="osD"[number], color=f"C{number}", label=name)
        # There are too many points for a bar each.
        low, high = [100 * one.low for one in points], [100 * one.high for one in points]
        axes.fill_between(flops, low, high, color=f"C{number}", alpha=0.12)
    axes.set_xscale("log")
    axes.set_xlabel(plot.X_LABEL)
    axes.set_ylabel(plot.Y_LABEL + " (bands: 95 %)")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend()


def _reliability(axes: Any, measured: Measured) -> None:
    axes.plot([0, 100], [0, 100], linestyle="--", color="grey", linewidth=1)
    for number, (drawn, one) in enumerate(measured.reliability.get("fails", {}).items()):
        said, came, share = zip(*one.stripes, strict=True) if one.stripes else ((), (), ())
        colour, label = f"C{number}", f"{drawn} drawn (error {output.percent(one.ece)})"
        axes.plot([100 * value for value in said], [100 * value for value in came], color=colour, linewidth=1)
        sizes = [20 + 400 * value for value in share]
        axes.scatter(
            [100 * value for value in said], [100 * value for value in came], sizes, colour, alpha=0.6, label=label
        )
    axes.set_xlabel("foretold that one more sample is wrong, %")
    axes.set_ylabel("were wrong, %")
    axes.set_title("reliability (areas: shares of the queries)")
    axes.grid(alpha=0.3)
    axes.legend()


def _bins(axes: Any, policy: Policy, measured: Measured) -> None:
    for bin_, name in enumerate(bins(policy)):
        met = [(budget, measured.at(budget, bin_)) for budget in policy.table]
        points = [(budget, one) for budget, one in met if one is not None and one.problems]
        # Side by side, so that bars of equal height can be told apart.
        aside = 2 ** (0.04 * (bin_ - len(policy.thresholds) / 2))
        axes.errorbar(
            [budget * aside for budget, _ in points],
            [100 * one.accuracy for _, one in points],
            [
                [100 * max(one.accuracy - one.low, 0) for _, one in points],
                [100 * max(one.high - one.accuracy, 0) for _, one in points],
            ],
            marker="o",
            color=f"C{bin_}",
            capsize=3,
            label=name,
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(policy.table), [str(budget) for budget in policy.table])
    axes.set_xlabel("mean budget of a query, samples")
    axes.set_ylabel(plot.Y_LABEL + " (bars: 95 %)")
    axes.set_title("by the probability that one more sample is wrong")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, fontsize="small")
