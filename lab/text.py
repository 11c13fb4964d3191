"""What the models read and write: one token per byte, and the formats of a solution, a revision and a scored step."""

from __future__ import annotations

from collections.abc import Sequence

START, END, FILLER = 256, 257, 258
"""Token ids after the 256 bytes. The filler is the one merge that llama.cpp's loader asks for; it never occurs."""

VOCABULARY = 259
LONGEST = 1024
"""Context length in tokens: a problem, four earlier attempts and one more."""

AGAIN = "~"
"""The line between an earlier attempt and the next one."""

STEP_TAG = "@"
RIGHT, WRONG = "+", "-"
"""A process reward model reads the tag behind every step and predicts one of the two labels there."""


def encode(text: str) -> list[int]:
    return list(text.encode())


def decode(tokens: Sequence[int]) -> str:
    return bytes(token for token in tokens if token < START).decode(errors="replace")


def prompt(problem: str, attempts: Sequence[str] = ()) -> list[int]:
    """What a solution is written behind: the problem, and each earlier attempt with the line that asks for another."""
    return [START, *encode(problem + "\n" + "".join(f"{attempt}\n{AGAIN}\n" for attempt in attempts))]


def solution(lines: Sequence[str]) -> list[int]:
    return [*encode("\n".join(lines)), END]
