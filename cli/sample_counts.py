"""Numbers of samples as an option's value."""

from __future__ import annotations

import click


class SampleCounts(click.ParamType[tuple[int, ...]]):
    """Numbers of samples: "1,4,16"."""

    name = "N,N,..."

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if not all(part.strip().isdecimal() and 0 < int(part) <= 256 for part in parts):
            self.fail(f"{value!r}: give numbers from 1 to 256 with commas between, as in 1,4,16", param, ctx)
        return tuple(sorted({int(part) for part in parts}))
