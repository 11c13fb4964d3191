"""What the verifier is taught: the generator's samples beside right ones, so that neither a problem nor an operation
tells by itself whether what follows is right. Without that, a verifier learns how hard a problem is, not what is wrong.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

from lab import verifier
from lab.derivations import Computed, computed, derive, labels
from lab.expressions import MODULUS
from lab.problems import HARDER, Problem, training_problems
from lab.training import Example, results

Drawn = Sequence[tuple[Problem, list[str]]]
"""Problems with what the generator wrote for each."""

Kind = tuple[str, int, int]

DRILL = 8
"""Operations in one example of a drill, at most."""

RIGHT = 1 / 2
"""Share of the right ones in a drill."""

ENOUGH = 20
"""Mistakes that make a kind of operation worth a drill; a kind with fewer may be a misreading, and never stand in a
right derivation."""

ASKED = "?\n"
"""In front of operations whose results are to be written, which elsewhere are judged."""

KEPT = 1000
"""Operations of one kind that wait for a drill."""


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


def sums(drawn: Drawn, seed: str) -> Iterator[Example]:
    """Operations whose results are to be written, of each kind as many as the generator got wrong."""
    steps = _operations(drawn, random.Random(f"{seed} sums"), seed)
    while True:
        lines = [f"{one.left}{one.operator}{one.right}={one.result}" for one in itertools.islice(steps, DRILL)]
        yield results(lines, ASKED)


def operations(drawn: Drawn, seed: str) -> Iterator[Example]:
    """Such operations one after another up to the first wrong one, each of them wrong in one case of two, by as much
    as the generator was in an operation of that kind."""
    rng = random.Random(f"{seed} operations")
    misses, steps = _misses(drawn), _operations(drawn, rng, seed)
    while True:
        lines: list[str] = []
        right = True
        while right and len(lines) < DRILL:
            step = next(steps)
            right = rng.random() < RIGHT
            result = step.result if right else (step.result + rng.choice(misses[step.kind])) % MODULUS
            lines.append(f"{step.left}{step.operator}{step.right}={result}")
        yield verifier.labelled(None, lines, [True] * (len(lines) - 1) + [right])


def _operations(drawn: Drawn, rng: random.Random, seed: str) -> Iterator[Computed]:
    misses = _misses(drawn)
    ready: dict[Kind, deque[Computed]] = defaultdict(lambda: deque(maxlen=KEPT))
    steps = filter(
        None,
        (
            computed(line)
            for problem in training_problems(f"{seed} operations", HARDER)
            for line in derive(problem.text, rng)
        ),
    )
    kinds = [kind for kind in misses if len(misses[kind]) >= ENOUGH]
    weights = [len(misses[kind]) for kind in kinds]
    while True:
        (kind,) = rng.choices(kinds, weights)
        while not ready[kind]:
            step = next(steps)
            ready[step.kind].append(step)
        yield ready[kind].pop()


def _misses(drawn: Drawn) -> dict[Kind, list[int]]:
    """By kind of operation, by how much the generator's wrong results differ from the right ones."""
    found: dict[Kind, list[int]] = defaultdict(list)
    for _, texts in drawn:
        for step in (computed(line) for text in texts for line in text.split("\n")):
            if step and int(step.written) != step.result:
                found[step.kind].append((int(step.written) - step.result) % MODULUS)
    return dict(found)
