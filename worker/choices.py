"""Multiple choice: the options of a problem, and which of them an answer names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from worker.equivalence import TEXT, decide, normalise, same_text

_AT_LINE_START = re.compile(r"^[ \t]*(?:\(([A-J])\)|([A-J])[.):])[ \t]+(\S[^\n]*)$", re.MULTILINE)
_IN_LINE = re.compile(r"\(([A-J])\)()\s*(\S.*?)(?=[\s,;]*(?:\([A-J]\)|\n|$))")


def options_in(prompt: str) -> dict[str, str]:
    """The options that a problem lists, by letter: at least two from A on, as `A. Paris`, `(A) Paris` or `A) Paris` at
    the start of a line each, or as `(A) Paris (B) Rome` within one. Of several lists the last."""
    for form in (_AT_LINE_START, _IN_LINE):
        found: dict[str, str] = {}
        for first, second, text in form.findall(prompt):
            letter = first or second
            if letter == "A":
                found = {}
            if letter == chr(ord("A") + len(found)):
                found[letter] = text.strip()
        if len(found) > 1:
            return found
    return {}


def letter_of(answer: str, options: Mapping[str, str]) -> str | None:
    """The letter that an answer names: by the text of one option alone, or as `choice_letter` reads it."""
    if not re.fullmatch(r"\W*[A-Ja-j]\W*", answer):
        named = [letter for letter, text in options.items() if _says(answer, text)]
        if len(named) == 1:
            return named[0]
    return choice_letter(answer)


def _says(answer: str, option: str) -> bool:
    return same_text(answer, option) or decide(normalise(answer), normalise(option)) is True


def choice_letter(text: str) -> str | None:
    r"""The letter A to J that a choice such as `(C)`, `C. Paris`, `\text{C}` or `C` names."""
    bare = TEXT.sub(r"\1", normalise(text)).strip()
    match = re.fullmatch(
        r"\(?\s*([A-Ja-j])\s*(?:\)|[.:])?|(?:\(([A-J])\)|([A-J])[.):])\s*\S.*|([B-HJ])\s+\S.*", bare, re.DOTALL
    )
    return next(group for group in match.groups() if group).upper() if match else None
