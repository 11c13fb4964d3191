"""Problems of five levels, the sets that never share one, and the two mixes that comparisons use.

A level is made mainly by how hard its steps are (how many products have several digits on both sides) and only
partly by how many steps there are.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass

from lab.derivations import at_least
from lab.expressions import Node, Operation, evaluate, read, within, write

LEVELS = (1, 2, 3, 4, 5)

Levels = tuple[float, float, float, float, float]
"""Shares of the five levels among problems."""

EVEN: Levels = (1, 1, 1, 1, 1)
HARDER: Levels = (0, 1, 1, 1, 1)
MIDDLE: Levels = (1, 2, 2, 2, 1)

FEWEST_DERIVATIONS = 6


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a level's problems are drawn.

    `operations`: fewest and most. `pairs`: weights of what stands between two numbers; `joins`: of what joins a
    number to a part; a name is an operator and the digits of the numbers it brings along.
    """

    operations: tuple[int, int]
    pairs: dict[str, float]
    joins: dict[str, float]


RECIPES = {
    1: Recipe((2, 4), {"+22": 4, "+21": 3, "*11": 4}, {"+2": 3, "+1": 3}),
    2: Recipe((2, 6), {"+22": 4, "+32": 1, "*11": 2, "*21": 3}, {"+2": 5, "+3": 1, "*1": 1}),
    3: Recipe((2, 7), {"+22": 2, "+33": 1, "*21": 3, "*22": 3}, {"+2": 4, "+3": 2, "*1": 2}),
    4: Recipe((2, 8), {"+33": 2, "*21": 2, "*22": 5, "*32": 2}, {"+3": 5, "*1": 2, "*2": 1}),
    5: Recipe((4, 7), {"*22": 1, "*32": 9}, {"+3": 2, "*2": 5}),
}

SETTLED = range(10, 1000)
"""What every operation of a set's level 1 results in: nothing wraps around, and nothing is seldom seen in training."""

SETS = {"calibration": 2000, "development": 2000, "held-out": 2000}
MIXES = {"uniform": (1, 1, 1, 1, 1), "settled-heavy": (6, 1, 1, 1, 6)}
"""Shares of the levels. Settled-heavy is 40 % easiest and 40 % hardest: most problems need no search or gain nothing."""


@dataclass(frozen=True, slots=True)
class Problem:
    text: str
    answer: int
    level: int


def draw_problem(level: int, rng: random.Random) -> Problem:
    """A problem with at least six valid derivations."""
    recipe = RECIPES[level]
    while True:
        tree = _tree(rng.randint(*recipe.operations), recipe, rng)
        if at_least(tree) >= FEWEST_DERIVATIONS:
            return Problem(write(tree), evaluate(tree), level)


def _tree(count: int, recipe: Recipe, rng: random.Random) -> Node:
    left = rng.randint(0, count - 1)
    right = count - 1 - left
    if not left and not right:
        operator, digits = _kind(recipe.pairs, rng)
        numbers = [_number(int(width), rng) for width in digits]
        rng.shuffle(numbers)
        return Operation(operator, *numbers)
    if left and right:
        return Operation(rng.choice("+-"), _tree(left, recipe, rng), _tree(right, recipe, rng))
    operator, digits = _kind(recipe.joins, rng)
    number, part = _number(int(digits), rng), _tree(left or right, recipe, rng)
    return Operation(operator, part, number) if left else Operation(operator, number, part)


def _kind(weights: dict[str, float], rng: random.Random) -> tuple[str, str]:
    (name,) = rng.choices(list(weights), list(weights.values()))
    return (rng.choice("+-") if name[0] == "+" else "*"), name[1:]


def _number(digits: int, rng: random.Random) -> int:
    return rng.randint(2, 9) if digits == 1 else rng.randint(10 ** (digits - 1), 10**digits - 1)


def problem_set(name: str, mix: str = "uniform", size: int | None = None) -> list[Problem]:
    """A set of different problems, the same on every machine; no problem of it is in another set or in training."""
    rng = random.Random(f"{name} {mix}")
    levels = [level for level, share in zip(LEVELS, MIXES[mix], strict=True) for _ in range(share)]
    found: dict[str, Problem] = {}
    while len(found) < (size or SETS[name]):
        problem = draw_problem(levels[len(found) % len(levels)], rng)
        if _home(problem.text) == name and (problem.level > 1 or within(read(problem.text), SETTLED)):
            found.setdefault(problem.text, problem)
    return list(found.values())


def training_problems(seed: str, shares: Levels = EVEN) -> Iterator[Problem]:
    """Problems without end, none of them in any set; `shares` are those of the levels."""
    rng = random.Random(seed)
    while True:
        (level,) = rng.choices(LEVELS, shares)
        problem = draw_problem(level, rng)
        if _home(problem.text) == "training":
            yield problem


def _home(text: str) -> str:
    """Which set a problem belongs to, by its digest alone: about a tenth each, and training has the rest."""
    names = dict(enumerate(SETS))
    return names.get(hashlib.sha256(text.encode()).digest()[0] % 10, "training")
