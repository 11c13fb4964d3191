"""Why our grader decides otherwise: the kind of a case, and the line of docs/grading.md that it falls under.

A convention explains a disagreement only where the other convention would have led to the other verdict; whatever no
convention explains counts as our mistake.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.cases import Case
from models.templates import load_template
from worker.equivalence import decide, normalise, plain_number
from worker.extraction import extract_answer

WRONG = "ours is wrong"

_BOX = re.compile(r"\\boxed\s*\{([^{}]*)\}")
_LETTER = re.compile(r"(?<![A-Za-z\\])[a-z](?![A-Za-z])")


class Outcome(NamedTuple):
    """A case, what was read on its two sides, and our verdict."""

    case: Case
    gold: str | None
    prediction: str | None
    same: bool

    @property
    def agrees(self) -> bool:
        return self.same is self.case.expected

    @property
    def read(self) -> tuple[str, str]:
        return normalise(self.gold or ""), normalise(self.prediction or "")


class Convention(NamedTuple):
    """A line of docs/grading.md, word for word, and whether it decides a case that another grader calls `expected`."""

    line: str
    expected: bool
    decides: Callable[[Outcome], bool]


def _percentage_of_fraction(row: Outcome) -> bool:
    first, second = (plain_number(side) for side in row.read)
    if not (first and second) or not ("percent" in first.unit) ^ ("percent" in second.unit):
        return False
    return first.value in (100 * second.value, second.value / 100)


def _short_decimals(row: Outcome) -> bool:
    from math_verify import parse, verify

    if row.case.decimals is None:
        return False
    sides = [parse(f"${side}$") for side in row.read]
    rounded, exact = (verify(*sides, float_rounding=places) for places in (row.case.decimals, 10))
    return rounded and not exact


def _reordered_list(row: Outcome) -> bool:
    left, right = (side.split(",") for side in row.read)
    pairs = [decide(normalise(one), normalise(other)) for one, other in zip(left, right, strict=False)]
    return row.same and len(left) == len(right) and False in pairs


def _renamed_variable(row: Outcome) -> bool:
    one, other = row.read
    return one != other and _LETTER.sub("?", one) == _LETTER.sub("?", other)


def _relation_and_set(row: Outcome) -> bool:
    return row.same and any(r"\in" in side for side in row.read) and any(r"\le" in side for side in row.read)


def _box_before_sentence(row: Outcome) -> bool:
    """The boxes of the prediction left out, its sentence would have matched."""
    sentence = extract_answer(_BOX.sub("", row.case.prediction or ""), load_template("math-boxed"))
    return sentence is not None and decide(row.read[0], normalise(sentence)) is True


def _boxes_apart(row: Outcome) -> bool:
    """All boxes of one side in one list would have matched the other side."""
    for text, other in ((row.case.gold, row.read[1]), (row.case.prediction or "", row.read[0])):
        boxes = _BOX.findall(text)
        if len(boxes) > 1 and decide(normalise(", ".join(boxes)), other.strip("{}")):
            return True
    return False


def _line_break_in_formula(row: Outcome) -> bool:
    return row.same and bool(re.search(r"(?:\$|\\\()\s*\n.*\n\s*(?:\$|\\\))", row.case.prediction or ""))


def _article(row: Outcome) -> bool:
    return row.case.kind == "choice" and row.gold is None and bool(re.match(r"A\s+\w", row.case.gold))


CONVENTIONS = (
    Convention("`50%` and `0.5` | different", True, _percentage_of_fraction),
    Convention("`0.3333` and `1/3` | different", True, _short_decimals),
    Convention("`1, 2` and `2, 1`; `\\{1, 2\\}` and `\\{2, 1\\}` | equal", False, _reordered_list),
    Convention("`f(x)` and `f(y)` | different", True, _renamed_variable),
    Convention("`x < 2` and `2 > x`; `x \\in [0, 1]` and `0 \\le x \\le 1` | equal", False, _relation_and_set),
    Convention("A box counts more than a sentence, wherever they stand.", True, _box_before_sentence),
    Convention('Boxes joined only by a comma or "and" are one list', True, _boxes_apart),
    Convention("A line break inside a formula is white space.", False, _line_break_in_formula),
    Convention("`A` before another word is an article.", True, _article),
)


def reason(row: Outcome) -> str:
    """The first convention that decides a case on which we disagree, quoted from docs/grading.md, or `WRONG`."""
    for convention in CONVENTIONS:
        if convention.expected is row.case.expected and convention.decides(row):
            return f"our convention: {convention.line.replace(' | ', ': ')}"
    return WRONG
