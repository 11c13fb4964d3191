"""`python -m benchmarks [NAME]...`: every figure of docs/performance.md, made anew."""

from __future__ import annotations

import argparse
import importlib

from rich.console import Console
from rich.table import Table

MEASUREMENTS = {
    "queries": "queries/s through Redis and PostgreSQL",
    "tokens": "tokens/s of best_of_n through the whole service against the bare engine",
    "search": "beam search with all problems in flight against one by one",
    "tiny": "tokens/s of tiny on the bare engines",
    "submit": "rows/s and peak memory of submit",
    "startup": "how long the command line takes to start",
    "report_speed": "seconds and peak memory of report",
}
BESIDE_OTHERS = {"its_hub_beam": "beam search against its_hub's, which has to be installed: pip install 'its_hub[lm]'"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        choices=[*MEASUREMENTS, *BESIDE_OTHERS, []],
        default=[],
        help="all but its_hub_beam by default",
    )
    parser.add_argument(
        "--large", action="store_true", help="report_speed also over 100,000 queries (minutes, 3 GB of disk)"
    )
    arguments = parser.parse_args()
    names = arguments.names or list(MEASUREMENTS)
    console = Console(width=110)
    table = Table("measured", "figure", "ratio within this run")
    for name in names:
        console.print(f"measuring {(MEASUREMENTS | BESIDE_OTHERS)[name]} ...", markup=False)
        options = {"large": arguments.large} if name == "report_speed" else {}
        for row in importlib.import_module(f"benchmarks.{name}").measure(**options):
            table.add_row(*row)
            console.print(f"  {row.what}: {row.figure} {row.ratio}")
    console.print(table)


if __name__ == "__main__":
    main()
