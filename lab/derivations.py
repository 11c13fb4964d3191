"""How a problem is solved: one step a line, in any order, and the exact check of every step.

A step either computes an operation whose operands are numbers (`47*36=692`) or splits one of its operands by
place value (`47*36=47*30+47*6`, `58+36=58+30+6`), after which the parts are computed in turn. The last line
is `####` and the answer.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from lab.expressions import MODULUS, Node, Operation, compute, evaluate, operations, put, read, ready

ANSWER = "####"

SPLITS = {"*": 0.2, "+": 0.06, "-": 0.06}
"""Share of the operations that a training derivation splits rather than computes at once, where both can be done."""

SELDOM = {**SPLITS, "*": 0.12}
"""The same once splitting has been learned."""


_COMPUTED = re.compile(r"(\d+)([-+*])(\d+)=(\d{1,3})")


class Computed(NamedTuple):
    """A step that computes its operation at once: what is written, and the result that it should have."""

    operator: str
    left: str
    right: str
    written: str
    result: int

    @property
    def kind(self) -> tuple[str, int, int]:
        """The operator and the digits of both operands."""
        return self.operator, len(self.left), len(self.right)


def computed(line: str) -> Computed | None:
    """None where the line splits an operand, or is no step."""
    if not (match := _COMPUTED.fullmatch(line)):
        return None
    left, operator, right, written = match.groups()
    return Computed(operator, left, right, written, compute(operator, int(left), int(right)) % MODULUS)


def splits(operation: Operation) -> dict[str, Node]:
    """The ways to take an operand apart by place value: text behind the equals sign -> the node it stands for."""
    operator, left, right = operation.operator, operation.left, operation.right
    assert isinstance(left, int)
    assert isinstance(right, int)
    found: dict[str, Node] = {}
    for high, low in _parts(right):
        if operator == "*":
            found[f"{left}*{high}+{left}*{low}"] = Operation("+", Operation("*", left, high), Operation("*", left, low))
        else:
            found[f"{left}{operator}{high}{operator}{low}"] = Operation(operator, Operation(operator, left, high), low)
    for high, low in _parts(left) if operator == "*" else ():
        found[f"{high}*{right}+{low}*{right}"] = Operation("+", Operation("*", high, right), Operation("*", low, right))
    return found


def _parts(number: int) -> Iterator[tuple[int, int]]:
    """The leading digit's value and the rest, where both are more than nothing: 47 -> 40 + 7."""
    place = 10 ** (len(str(number)) - 1)
    if number % place:
        yield number - number % place, number % place


def derive(problem: str, rng: random.Random, shares: Mapping[str, float] = SPLITS) -> list[str]:
    """A right solution drawn at random: its lines, the answer's included."""
    root, lines = read(problem), []
    while not isinstance(root, int):
        path, operation = rng.choice(list(ready(root)))
        ways = splits(operation) if rng.random() < shares[operation.operator] else {}
        ways = ways or {str(evaluate(operation)): evaluate(operation)}
        right_hand = rng.choice(list(ways))
        root = put(root, path, ways[right_hand])
        lines.append(f"{operation.left}{operation.operator}{operation.right}={right_hand}")
    return [*lines, f"{ANSWER}{root}"]


def valid_steps(problem: str, lines: Sequence[str]) -> Iterator[Collection[str]]:
    """For every line what could stand in its place, if it and all before it are to be right: operands that are there,
    and a result or a split of them. The answer's line may come at any time; behind a wrong line nothing is right."""
    root = read(problem)
    answer, reached = f"{ANSWER}{evaluate(root)}", {root}
    for line in lines:
        # Equal operations may stand at several places, and only later lines tell which of them was meant.
        after: dict[str, set[Node]] = {answer: reached} if reached else {}
        for before in reached:
            for step, remains in _steps(before):
                after.setdefault(step, set()).add(remains)
        yield after.keys()
        reached = after.get(line, set())


def labels(problem: str, lines: Sequence[str]) -> list[bool]:
    """For every line whether it and all before it are right: its arithmetic, and its operands (what remains
    still evaluates to the answer)."""
    return [line in valid for line, valid in zip(lines, valid_steps(problem, lines), strict=True)]


def _steps(root: Node) -> Iterator[tuple[str, Node]]:
    """The steps that can be taken in `root`, and what remains of it behind each."""
    for path, operation in ready(root):
        left, operator, right = operation.left, operation.operator, operation.right
        ways = {str(evaluate(operation)): evaluate(operation)} | splits(operation)
        for right_hand, node in ways.items():
            remains = put(root, path, node)
            yield f"{left}{operator}{right}={right_hand}", remains
            if operator != "-" and left != right:
                yield f"{right}{operator}{left}={right_hand}", remains


def is_right(problem: str, lines: Sequence[str]) -> bool:
    """Whether the lines are a right derivation from the problem to its answer."""
    return bool(lines) and lines[-1].startswith(ANSWER) and labels(problem, lines)[-1]


def at_least(problem: Node) -> int:
    """A lower bound on the number of valid derivations: orders of the operations times the first ways to do each."""
    if isinstance(problem, int):
        return 1
    left, right = operations(problem.left), operations(problem.right)
    here = Operation(problem.operator, evaluate(problem.left), evaluate(problem.right))
    return math.comb(left + right, left) * at_least(problem.left) * at_least(problem.right) * (1 + len(splits(here)))


def answer_of(text: str) -> str | None:
    """The answer that a solution ends with, None where it ends without one."""
    last = text.rsplit("\n", 1)[-1]
    return last.removeprefix(ANSWER) if last.startswith(ANSWER) else None
