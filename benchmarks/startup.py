"""How long the command line takes to start, beside an interpreter that imports click alone."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.service import ROOT
from benchmarks.tables import Row, interval

REPEATS = 10
CLICK = ("-c", "import click")
COMMANDS = {"--version": ("--version",), "--help": ("--help",), "report --help": ("report", "--help")}


def measure() -> list[Row]:
    """All in turn, so that the machine's drift falls on all alike."""
    _seconds(CLICK)
    took: dict[str, list[float]] = {name: [] for name in ("click", *COMMANDS)}
    for _ in range(REPEATS):
        took["click"].append(_seconds(CLICK))
        for name, arguments in COMMANDS.items():
            took[name].append(_seconds(("-P", "-m", "cli.main", *arguments)))
    bare = took.pop("click")
    rows = [Row('python -c "import click"', f"{interval(bare, '.3f')} s", "")]
    for name, seconds in took.items():
        ratios = [ours / other for ours, other in zip(seconds, bare, strict=True)]
        rows.append(
            Row(f"tts-jobs {name}", f"{interval(seconds, '.3f')} s", f"{interval(ratios, '.2f')} of importing click")
        )
    return rows


def _seconds(arguments: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started
