"""What the verifier is taught: the generator's samples beside right ones, so that neither a problem nor an operation
tells by itself whether what follows is right. Without that, a verifier learns how hard a problem is, not what is wrong.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

from lab import verifier
from lab.derivations import Computed, computed, derive, is_right, labels
from lab.expressions import MODULUS, compute
from lab.problems import HARDER, MIDDLE, Levels, Problem, training_problems
from lab.training import Example, results

Drawn = Sequence[tuple[Problem, list[str]]]
"""Problems with what the generator wrote for each."""

Kind = tuple[str, int, int]
"""An operator and the digits of both operands."""

Misses = dict[Kind, list[int]]
"""By kind of operation, by how much the generator's wrong results differ from the right ones."""

DRILL = 8
"""Operations in one example of a drill, at most."""

RIGHT = 1 / 2
"""Share of the right ones in a drill."""

MISREAD = 0.7
"""Share of the derivations with a misread operand."""

CUT = 0.75
"""Share of the wrong solutions that end with the first wrong step: what stands behind it is wrong whatever it is, and
while the model does not see why, all of that is noise, in which it never finds the one thing to look at."""

ENOUGH = 20
"""Mistakes that make a kind of operation worth a drill; a kind with fewer may be a misreading, and never stand in a
right derivation."""

ASKED = "?\n"
"""In front of operations whose results are to be written, which elsewhere are judged."""

KEPT = 1000
"""Operations of one kind that wait for a drill."""


def solutions(drawn: Drawn, seed: str) -> Iterator[Example]:
    """Solutions: every other one is right throughout, whatever the problem. Of the others most end with the first wrong
    step (`CUT`)."""
    rng = random.Random(f"{seed} solutions")
    while True:
        problem, texts = rng.choice(drawn)
        known = [(lines, is_right(problem.text, lines)) for lines in (text.split("\n") for text in texts)]
        wrong = [lines for lines, right in known if not right]
        right = [lines for lines, right in known if right]
        lines = rng.choice(wrong) if wrong and rng.random() < 0.5 else rng.choice(right or [derive(problem.text, rng)])
        if rng.random() < CUT:
            lines = lines[: sum(labels(problem.text, lines)) + 1]
        yield verifier.labelled(problem.text, lines)


def derivations(drawn: Drawn, seed: str) -> Iterator[Example]:
    """Right derivations that are to be written."""
    rng = random.Random(f"{seed} derivations")
    while True:
        problem, _ = rng.choice(drawn)
        yield verifier.written(problem.text, derive(problem.text, rng), ASKED)


def common_operations(drawn: Drawn, seed: str) -> Iterator[Example]:
    """Drills with operations as they come in right derivations: most of them easy, so that comparing what is written
    with what should be is learned where that is known."""
    rng = random.Random(f"{seed} common")
    misses = _misses(drawn)
    return _drills((step for step in _derived(f"{seed} common", MIDDLE, rng) if step.kind in misses), misses, rng)


def missed_operations(drawn: Drawn, seed: str) -> Iterator[Example]:
    """Drills with as many operations of each kind as the generator got wrong."""
    rng = random.Random(f"{seed} missed")
    misses = _misses(drawn)
    return _drills(_missed(misses, seed, rng), misses, rng)


def misread_operands(drawn: Drawn, seed: str) -> Iterator[Example]:
    """Right derivations, most of them up to a step in which an operand is misread: it is another number of the problem or
    of a step before, and what is computed from it right."""
    rng = random.Random(f"{seed} misread")
    while True:
        problem, _ = rng.choice(drawn)
        lines = derive(problem.text, rng)
        if rng.random() < MISREAD:
            place = rng.choice([index for index, line in enumerate(lines) if computed(line)])
            lines = [*lines[:place], _misread(problem.text, lines, place, rng)]
            if labels(problem.text, lines)[place]:
                continue
        yield verifier.labelled(problem.text, lines)


def questions(drawn: Drawn, seed: str) -> Iterator[Example]:
    """Such operations, several to an example, of which the results are to be written."""
    steps = _missed(_misses(drawn), f"{seed} questions", random.Random(f"{seed} questions"))
    while True:
        lines = [f"{one.left}{one.operator}{one.right}={one.result}" for one in itertools.islice(steps, DRILL)]
        yield results(lines, ASKED)


def _drills(steps: Iterator[Computed], misses: Misses, rng: random.Random) -> Iterator[Example]:
    """Operations that have nothing to do with each other, up to the first wrong one, each of them wrong in one case of
    two, by as much as the generator was in an operation of that kind."""
    while True:
        lines: list[str] = []
        right = True
        while right and len(lines) < DRILL:
            step = next(steps)
            right = rng.random() < RIGHT
            result = step.result if right else (step.result + rng.choice(misses[step.kind])) % MODULUS
            lines.append(f"{step.left}{step.operator}{step.right}={result}")
        yield verifier.drilled(lines)


def _misread(problem: str, lines: Sequence[str], place: int, rng: random.Random) -> str:
    step = computed(lines[place])
    assert step is not None
    seen = re.findall(r"\d+", problem) + [before.written for before in map(computed, lines[:place]) if before]
    left, right = step.left, step.right
    if rng.random() < 0.5:
        left = rng.choice(seen)
    else:
        right = rng.choice(seen)
    return f"{left}{step.operator}{right}={compute(step.operator, int(left), int(right)) % MODULUS}"


def _derived(seed: str, levels: Levels, rng: random.Random) -> Iterator[Computed]:
    lines = (line for problem in training_problems(seed, levels) for line in derive(problem.text, rng))
    return filter(None, map(computed, lines))


def _missed(misses: Misses, seed: str, rng: random.Random) -> Iterator[Computed]:
    kinds = [kind for kind in misses if len(misses[kind]) >= ENOUGH]
    weights = [len(misses[kind]) for kind in kinds]
    steps = _derived(f"{seed} operations", HARDER, rng)
    ready: dict[Kind, deque[Computed]] = defaultdict(lambda: deque(maxlen=KEPT))
    while True:
        (kind,) = rng.choices(kinds, weights)
        while not ready[kind]:
            step = next(steps)
            ready[step.kind].append(step)
        yield ready[kind].pop()


def _misses(drawn: Drawn) -> Misses:
    found: dict[Kind, list[int]] = defaultdict(list)
    for _, texts in drawn:
        for step in (computed(line) for text in texts for line in text.split("\n")):
            if step and int(step.written) != step.result:
                found[step.kind].append((int(step.written) - step.result) % MODULUS)
    return dict(found)
