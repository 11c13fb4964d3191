"""Accuracy against compute as a picture: in the terminal, as a PNG and as an SVG."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, product
from pathlib import Path
from typing import IO, Literal

from cli import output

X_LABEL = "FLOPs per query (canonical, verifier included)"
Y_LABEL = "accuracy, %"


@dataclass(frozen=True, slots=True)
class Point:
    """One job: FLOPs per query (or what else the x axis says), and the accuracy with its 95 % interval, in [0, 1]."""

    flops: float
    accuracy: float
    low: float
    high: float


FEW = 5
"""Curves whose legend finds a place among them."""

Curves = dict[str, Sequence[Point]]
"""Name -> its points from the cheapest to the dearest."""


def is_available() -> bool:
    """Whether the extra `plot` is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("plotext", "matplotlib"))


def in_terminal(curves: Curves, width: int, *, x_label: str = X_LABEL) -> str:
    """The curves in characters, the x axis logarithmic."""
    import plotext

    figure = plotext.figure
    figure.clear()
    figure.plot_size(min(width, 100), 22)
    figure.ruler("x").scale("log")
    for (name, points), marker in zip(curves.items(), cycle("o*+x#"), strict=False):
        flops, accuracy = [point.flops for point in points], [100 * point.accuracy for point in points]
        figure.draw(figure.signal(flops, accuracy, marker="·").lines(len(points) > 1))
        figure.draw(figure.signal(flops, accuracy, marker=marker).label(name))
    figure.label(x_label, "x")
    figure.label(Y_LABEL, "y")
    drawn: str = plotext.uncolorize(str(figure.build()))
    return drawn


def as_png(curves: Curves, path: Path, title: str) -> None:
    """The curves with their intervals, written to `path`."""
    with path.open("wb") as stream:
        write(curves, stream, title, "png")


def write(
    curves: Curves, stream: IO[bytes], title: str, kind: Literal["png", "svg"], *, x_label: str = X_LABEL
) -> None:
    """The curves with their intervals, as a picture on a stream of bytes; the same curves give the same bytes."""
    # Not pyplot: it keeps figures for the process's life and looks for a display.
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for (name, points), (marker, colour) in zip(curves.items(), product("os^D", range(10)), strict=False):
        accuracy = [100 * point.accuracy for point in points]
        below = [100 * (point.accuracy - point.low) for point in points]
        above = [100 * (point.high - point.accuracy) for point in points]
        axes.errorbar(
            [point.flops for point in points],
            accuracy,
            [below, above],
            marker=marker,
            color=f"C{colour}",
            capsize=3,
            label=name,
        )
    axes.set_xscale("log")
    # Left to itself it labels every digit of a single decade, one label over the other.
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: output.count(value))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(x_label)
    axes.set_ylabel(Y_LABEL + " (bars: 95 %)")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    if len(curves) > FEW:
        legend = axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, fontsize="small")
    else:
        legend = axes.legend()
    # A name from a dataset or a model is no formula, whatever signs are in it.
    for text in (axes.title, *legend.get_texts()):
        text.set_parse_math(False)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "tts-jobs"}):
        figure.savefig(stream, format=kind, metadata={"Date": None} if kind == "svg" else None)
