"""The world's problems: fully bracketed arithmetic over +, - and *, every result taken modulo 1000."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MODULUS = 1000

_TOKEN = re.compile(r"\d+|[-+*()]")


@dataclass(frozen=True, slots=True)
class Operation:
    """An inner node of an expression tree."""

    operator: str
    left: Node
    right: Node


Node = int | Operation


def compute(operator: str, left: int, right: int) -> int:
    """One operation, before its result is taken modulo 1000."""
    if operator == "+":
        return left + right
    return left - right if operator == "-" else left * right


def evaluate(node: Node) -> int:
    """In 0..999, a negative difference included."""
    if isinstance(node, int):
        return node
    return compute(node.operator, evaluate(node.left), evaluate(node.right)) % MODULUS


def within(node: Node, results: range) -> bool:
    """Whether every operation's own result, before it is taken modulo 1000, lies in `results`."""
    if isinstance(node, int):
        return True
    own = compute(node.operator, evaluate(node.left), evaluate(node.right))
    return own in results and within(node.left, results) and within(node.right, results)


def operations(node: Node) -> int:
    """How many operations a tree has."""
    return 0 if isinstance(node, int) else 1 + operations(node.left) + operations(node.right)


def ready(node: Node, path: str = "") -> Iterator[tuple[str, Operation]]:
    """The operations whose operands are numbers, from left to right, each with its path (`l` and `r`) from the root."""
    if isinstance(node, int):
        return
    if isinstance(node.left, int) and isinstance(node.right, int):
        yield path, node
        return
    yield from ready(node.left, path + "l")
    yield from ready(node.right, path + "r")


def put(root: Node, path: str, node: Node) -> Node:
    """`root` with what lies at `path` replaced by `node`."""
    if not path:
        return node
    assert isinstance(root, Operation)
    if path[0] == "l":
        return Operation(root.operator, put(root.left, path[1:], node), root.right)
    return Operation(root.operator, root.left, put(root.right, path[1:], node))


def write(node: Node) -> str:
    """`(47*36)+5`: every operation in brackets but the outermost."""
    return str(node) if isinstance(node, int) else f"{_bracketed(node.left)}{node.operator}{_bracketed(node.right)}"


def _bracketed(node: Node) -> str:
    return str(node) if isinstance(node, int) else f"({write(node)})"


def read(text: str) -> Node:
    """The inverse of `write`.

    Raises:
        ValueError: `text` is no fully bracketed expression.
    """
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != text:
        raise ValueError(f"not an expression: {text!r}")
    node, rest = _operation(tokens)
    if rest:
        raise ValueError(f"not fully bracketed: {text!r}")
    return node


def _operation(tokens: list[str]) -> tuple[Node, list[str]]:
    left, tokens = _operand(tokens)
    if not tokens or tokens[0] not in "+-*":
        return left, tokens
    operator = tokens[0]
    right, tokens = _operand(tokens[1:])
    return Operation(operator, left, right), tokens


def _operand(tokens: list[str]) -> tuple[Node, list[str]]:
    if not tokens or tokens[0] in "+-*)":
        raise ValueError("an operand is missing")
    if tokens[0] != "(":
        return int(tokens[0]), tokens[1:]
    node, tokens = _operation(tokens[1:])
    if not tokens or tokens[0] != ")":
        raise ValueError("a bracket is not closed")
    return node, tokens[1:]
