"""How a measurement is printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

T_QUANTILES = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 10: 2.26}
"""Student's t at 97.5 % by the number of repeats."""


class Row(NamedTuple):
    """What was measured, the figure with its unit, and the ratio that can be compared between machines."""

    what: str
    figure: str
    ratio: str


def interval(values: Sequence[float], form: str = ".0f") -> str:
    """`mean (low to high)`: the 95 % interval of the mean of a few repeats."""
    middle = mean(values)
    half = T_QUANTILES[len(values)] * stdev(values) / len(values) ** 0.5
    return f"{middle:{form}} ({middle - half:{form}} to {middle + half:{form}})"


def write_between(page: Path, title: str, module: str, text: str) -> None:
    """Put what `python -m MODULE` found between its marks on a page; what people wrote around them stays."""
    begin, end = f"<!-- written by python -m {module} -->", "<!-- end of what was written -->"
    page.parent.mkdir(parents=True, exist_ok=True)
    whole = page.read_text() if page.exists() else f"# {title}\n\n{begin}\n{end}\n"
    before, _, rest = whole.partition(begin)
    page.write_text(f"{before}{begin}\n{text}{end}{rest.partition(end)[2]}")
