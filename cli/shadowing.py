"""Whether our packages, whose names are common, are the ones that get imported. Imports none of them itself."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Literal

ROOMS = ("cli", "models", "scheduler", "strategies", "worker")
ROOT = Path(__file__).resolve().parents[1]

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one of `doctor`'s checks; `message` is one sentence, for a warning or problem with its cure."""

    check: str
    state: State
    message: str


def shadowing() -> Finding:
    """Whether every package of ours is found beside this file, and nothing near could take its place."""
    return Finding("shadowing", *_look())


def _look() -> tuple[State, str]:
    for room in ROOMS:
        spec = importlib.util.find_spec(room)
        origin = Path(spec.origin).resolve().parent if spec is not None and spec.origin else None
        if origin != ROOT / room:
            return (
                "problem",
                f"`import {room}` finds {origin or 'nothing'}, not {ROOT / room}; take that off PYTHONPATH",
            )
    owners = packages_distributions()
    strangers = sorted({owner for room in ROOMS for owner in owners.get(room, []) if owner != "tts-jobs"})
    if strangers:
        return "problem", f"{', '.join(strangers)} installs a package of our name; use a virtual environment without it"
    here = Path.cwd()
    folders = [room for room in ROOMS if (here / room).is_dir() and (here / room).resolve() != ROOT / room]
    if folders:
        names = ", ".join(f"{room}/" for room in folders)
        return "warning", f"{names} here would shadow ours under `python -m` and `celery -A`; use the tts-jobs command"
    return "ok", f"all of {', '.join(ROOMS)} come from {ROOT}"
