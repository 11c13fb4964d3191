"""What a judge is asked: a generator that says whether a solution is right."""

from __future__ import annotations

from models.templates import BYTES_PER_MESSAGE

JUDGE = "judge"
"""The verifier that asks the job's own generator; `judge:NAME` asks what `--generator NAME` is."""

SHOWN = "Problem:\n{problem}\n\nSolution:\n{solution}"

QUESTION = "\n\nIs every step of this solution right so far? Answer Yes or No."
"""Stands behind the solution, so that problem and earlier steps are in the prefix cache when the next one is judged."""

YES = ("Yes", " Yes", "yes", " yes", "YES", " YES")
NO = ("No", " No", "no", " no", "NO", " NO")

MOST_ASKED = len(SHOWN) + len(QUESTION) + BYTES_PER_MESSAGE
"""A bound, in tokens, on what is written around a solution: no token is shorter than a byte."""
