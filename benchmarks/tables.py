"""How a measurement is printed."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """What was measured, the figure with its unit, and the ratio that can be compared between machines."""

    what: str
    figure: str
    ratio: str
