"""What the verifier is taught: the generator's samples beside right ones, so that neither a problem nor an operation
tells by itself whether what follows is right. Without that, a verifier learns how hard a problem is, not what is wrong.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from lab import verifier
from lab.derivations import derive, labels
from lab.expressions import MODULUS, compute
from lab.problems import HARDER, Problem, training_problems
from lab.training import Example

Drawn = Sequence[tuple[Problem, list[str]]]
"""Problems with what the generator wrote for each."""

DRILL = 8
"""Operations in one example of a drill."""

_COMPUTED = re.compile(r"(\d+)([-+*])(\d+)=(\d{1,3})")
"""An operation with its result at once."""


def solutions(drawn: Drawn, seed: str) -> Iterator[Example]:
    """Whole solutions: every other one is right throughout, whatever the problem."""
    rng = random.Random(f"{seed} solutions")
    while True:
        problem, texts = rng.choice(drawn)
        known = [(lines, labels(problem.text, lines)) for lines in (text.split("\n") for text in texts)]
        wrong = [one for one in known if not one[1][-1]]
        right = [one for one in known if one[1][-1]]
        if wrong and rng.random() < 0.5:
            lines, steps = rng.choice(wrong)
        elif right:
            lines, steps = rng.choice(right)
        else:
            lines = derive(problem.text, rng)
            steps = [True] * len(lines)
        yield verifier.labelled(problem.text, lines, steps)


def operations(drawn: Drawn, seed: str) -> Iterator[Example]:
    """Single operations, several to an example, each judged by itself: half of the results are right, the others wrong
    by as much as the generator was in an operation of that kind."""
    rng = random.Random(f"{seed} operations")
    misses = _misses(drawn)
    written = (
        line for problem in training_problems(f"{seed} operations", HARDER) for line in derive(problem.text, rng)
    )
    while True:
        lines: list[str] = []
        right: list[bool] = []
        while len(lines) < DRILL:
            match = _COMPUTED.fullmatch(next(written))
            if match and (kind := _kind(match)) in misses:
                right.append(rng.random() < 0.5)
                result = int(match[4]) if right[-1] else (int(match[4]) + rng.choice(misses[kind])) % MODULUS
                lines.append(f"{match[1]}{match[2]}{match[3]}={result}")
        yield verifier.drill(lines, right)


def _kind(match: re.Match[str]) -> tuple[str, int, int]:
    """The operator and the digits of both operands."""
    return match[2], len(match[1]), len(match[3])


def _misses(drawn: Drawn) -> dict[tuple[str, int, int], list[int]]:
    """By kind of operation, by how much the generator's wrong results differ from the right ones."""
    found: dict[tuple[str, int, int], list[int]] = defaultdict(list)
    for _, texts in drawn:
        for line in (line for text in texts for line in text.split("\n")):
            if match := _COMPUTED.fullmatch(line):
                away = (int(match[4]) - compute(match[2], int(match[1]), int(match[3]))) % MODULUS
                if away:
                    found[_kind(match)].append(away)
    return dict(found)
