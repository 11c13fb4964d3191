"""Monte Carlo tree search: the tree policy against values worked by hand, values backed up, idle rounds ended."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from strategies.mcts import Mcts, Node, _most_visited, _priors, puct, uct
from strategies.protocols import TokenUsage
from strategies.task import Candidate
from tests.unit.strategies.simulated import SimulatedModel, SimulatedVerifier, searched


def tree() -> Node:
    """A root visited ten times: one child good and often visited, one bad, one hardly visited."""
    root = Node()
    for visits, total, prior in ((6, 4.2, 0.2), (3, 0.6, 0.2), (1, 0.5, 0.6)):
        child = Node(parent=root, prior=prior)
        root.children.append(child)
        child.back_up(visits, total)
    return root


def test_values_are_backed_up_to_the_root() -> None:
    root = tree()
    assert (root.visits, root.total) == (10, pytest.approx(5.3))


def test_uct_as_worked_by_hand() -> None:
    root = tree()
    spread = math.sqrt(math.log(10))  # 1.5174
    expected = [0.7 + 1.41 * spread / math.sqrt(6), 0.2 + 1.41 * spread / math.sqrt(3), 0.5 + 1.41 * spread]
    assert [uct(child, root, 1.41) for child in root.children] == pytest.approx(expected)
    assert expected.index(max(expected)) == 2
    assert max(root.children, key=lambda child: uct(child, root, 0.0)) is root.children[0]
    assert uct(Node(parent=root), root, 1.41) == math.inf


def test_puct_as_worked_by_hand() -> None:
    root = tree()
    spread = math.sqrt(10)
    expected = [0.7 + 0.2 * spread / 7, 0.2 + 0.2 * spread / 4, 0.5 + 0.6 * spread / 2]
    assert [puct(child, root, 1.0) for child in root.children] == pytest.approx(expected)
    assert puct(Node(parent=root, prior=0.5), root, 1.0) == pytest.approx(0.5 * spread)


def branching() -> tuple[Node, dict[str, Node]]:
    """The root's 12 visits: 7 to `a` of mean 4 / 7, whose children are `aa` (1 / 3) and `ab` (2.5 / 3), and 5 to `b` of
    mean 2.5 / 5."""
    root = Node(expanded=True)
    found: dict[str, Node] = {}
    for name, visits, total, prior in (
        ("a", 1, 0.5, 0.5),
        ("b", 5, 2.5, 0.5),
        ("aa", 3, 1.0, 0.9),
        ("ab", 3, 2.5, 0.1),
    ):
        above = found.get(name[:-1], root)
        step = Candidate(name, name, "step", TokenUsage(1, 0, 1), parent=above.candidate)
        found[name] = Node(step, above, prior)
        above.children.append(found[name])
        above.expanded = True
        found[name].back_up(visits, total)
    return root, found


@pytest.mark.parametrize(
    ("formula", "exploration", "chosen"),
    [
        # Means alone: a .571 > b .5, then ab .833 > aa .333.
        ("uct", 0.0, "ab"),
        # sqrt(ln 12 / 7) = .596 and sqrt(ln 12 / 5) = .705: a .571 + .596 c, b .5 + .705 c, equal at c = .66.
        ("uct", 0.6, "ab"),
        ("uct", 0.7, "b"),
        ("puct", 0.0, "ab"),
        # sqrt(12) = 3.464: a .571 + .2165 c, b .5 + .2887 c, equal at c = .99; then aa .333 + .595 c, ab .833 + .066 c,
        # equal at c = .945.
        ("puct", 0.94, "ab"),
        ("puct", 0.96, "aa"),
        ("puct", 1.0, "b"),
    ],
)
def test_a_descent_chooses_as_worked_by_hand(formula: Literal["uct", "puct"], exploration: float, chosen: str) -> None:
    root, nodes = branching()
    assert (root.visits, root.total, nodes["a"].visits, nodes["a"].total) == (12, 6.5, 7, 4.0)
    assert Mcts(formula=formula, exploration=exploration)._select(root, 1) == [nodes[chosen]]
    # Nothing was valued, so nothing has been counted.
    assert (root.visits, root.total, nodes["a"].visits, nodes["a"].total) == (12, 6.5, 7, 4.0)


def test_descents_side_by_side_see_those_before_them_as_lost() -> None:
    """By means: ab .833; with one loss a is 4 / 8 and ties with b, which was drawn later; with two, 4 / 9, b leads."""
    root, nodes = branching()
    nodes["b"].back_up(0, -0.1)  # .48
    assert Mcts(exploration=0.0)._select(root, 2) == [nodes["ab"]]  # .5 and 2.5 / 4 lead again
    assert Mcts(exploration=0.0)._select(root, 3) == [nodes["ab"], nodes["b"]]
    assert (root.visits, nodes["ab"].visits, nodes["b"].visits) == (12, 3, 5)


def test_priors_are_the_softmax_of_the_steps_log_probabilities() -> None:
    def step(*logprobs: float) -> Candidate:
        return Candidate("s", "x", "step", TokenUsage(1, 0, 1), step_logprobs=logprobs or None)

    assert _priors([step(math.log(0.3)), step(-9.0, math.log(0.1))]) == pytest.approx([0.75, 0.25])
    assert _priors([step(), step(), step()]) == pytest.approx([1 / 3] * 3)
    assert _priors([step(-math.inf), step(-math.inf)]) == [0.5, 0.5]


def test_a_descent_that_is_out_keeps_others_from_its_leaf() -> None:
    """By values alone the first child would be chosen four times; what is visited seems lost until it is valued."""
    root = Node()
    for value in (0.9, 0.8, 0.7):
        ended = Candidate(f"s{value}", "= 1", "stop", TokenUsage(1, 0, 1))
        child = Node(ended, root)
        root.children.append(child)
        child.back_up(1, value)
    before = root.visits, root.total
    chosen = Mcts(exploration=0.1)._select(root, 3)
    assert len(chosen) == 3
    # Nothing can be added to what has ended, so its value is backed up once more.
    assert (root.visits, root.total) == (before[0] + 3, pytest.approx(before[1] * 2))


def test_the_root_is_expanded_once_and_then_the_best_steps() -> None:
    model = SimulatedModel(1.0, length=4)
    verifier = SimulatedVerifier(given={"s0": 0.1, "s1": 0.2, "s2": 0.9, "s3": 0.3})
    solution = asyncio.run(Mcts(exploration=0.0, parallel=1).solve(searched(4, model, verifier)))
    depths = [len(node.lineage) for node in solution.candidates]
    assert depths == [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4
    assert {node.parent.path for node in solution.candidates if len(node.lineage) == 2 and node.parent} == {"s2"}


def test_it_goes_on_until_n_branches_have_ended() -> None:
    for width in (1, 5, 9):
        model = SimulatedModel(length=6, seed=width)
        solution = asyncio.run(Mcts(parallel=1).solve(searched(width, model)))
        ended = [node for node in solution.candidates if node.finish_reason == "stop"]
        assert width <= len(ended) < width + 4
        assert solution.stopped == "complete"


@pytest.mark.parametrize("value", ["prm", "rollout"])
@given(dead=some.integers(0, 3), seed=some.integers(0, 99), width=some.integers(1, 9))
def test_what_nothing_came_of_is_not_drawn_again(
    value: Literal["prm", "rollout"], dead: int, seed: int, width: int
) -> None:
    """All steps at one depth are cut: their paths, and so their seeds and texts, would be the same again."""

    class Cutting(SimulatedModel):
        async def step(self, path: str, parent: Candidate | None, *, temperature: float | None = None) -> Candidate:
            made = await super().step(path, parent, temperature=temperature)
            return replace(made, finish_reason="length") if path.count(".") == dead else made

    model = Cutting(length=9, most=2000, seed=seed)
    solution = asyncio.run(Mcts(value=value).solve(searched(width, model)))
    assert len(set(model.drawn)) == len(model.drawn)
    assert (solution.answer, solution.stopped) == (None, "unfinished")


def test_a_step_of_which_nothing_came_is_worth_less_than_it_seemed() -> None:
    """s0 scores .9 and all behind it is cut, which counts as one visit of no value: s1 with .5 is next."""
    cut = frozenset(f"s0.{i}" for i in range(4))
    verifier = SimulatedVerifier(given={"s0": 0.9, "s1": 0.5, "s2": 0.1, "s3": 0.1})
    model = SimulatedModel(1.0, length=2, cut=cut)
    solution = asyncio.run(Mcts(exploration=0.0, parallel=1).solve(searched(4, model, verifier)))
    assert (solution.answer, solution.stopped) == ("42", "complete")
    assert {node.parent.path for node in solution.candidates if node.parent} == {"s0", "s1"}


def test_it_ends_when_nothing_new_is_written_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one-step solutions all that can be drawn is drawn at once, whatever the budget."""
    rounds = []
    select = Mcts._select

    def counted(self: Mcts, root: Node, count: int) -> list[Node]:
        rounds.append(count)
        return select(self, root, count)

    monkeypatch.setattr(Mcts, "_select", counted)
    model = SimulatedModel(length=1)
    solution = asyncio.run(Mcts().solve(searched(64, model)))
    assert (len(model.drawn), solution.stopped) == (4, "complete")
    assert rounds == [4] * (1 + 3)


@pytest.mark.parametrize("seed", range(4))
def test_rollouts_value_a_step_by_where_it_leads(seed: int) -> None:
    model, verifier = SimulatedModel(seed=seed, length=3), SimulatedVerifier()
    solution = asyncio.run(Mcts(value="rollout", parallel=1).solve(searched(1, model, verifier)))
    assert sorted(verifier.scored) == [f"s{i}.g.g" for i in range(4)]
    assert solution.answer in {node.answer for node in solution.candidates if node.path.endswith(".g.g")}


def test_the_most_visited_branch_is_followed_by_visits_alone() -> None:
    """`ab` is worth more than `aa`, which was visited as often and drawn first."""
    root, nodes = branching()
    assert _most_visited(root) is nodes["aa"].candidate
    nodes["ab"].back_up(1, 0.0)
    assert _most_visited(root) is nodes["ab"].candidate


def test_the_most_visited_branch_answers_where_it_ended() -> None:
    model = SimulatedModel(1.0, length=2, seed=2)
    solution = asyncio.run(Mcts(answer="most_visited", exploration=0.2).solve(searched(12, model)))
    assert solution.chosen is not None
    assert solution.chosen in {node.path for node in solution.candidates if node.finish_reason == "stop"}
    unfinished = SimulatedModel(1.0, length=9)
    solution = asyncio.run(Mcts(answer="most_visited", max_steps=2).solve(searched(12, unfinished)))
    assert (solution.answer, solution.chosen, solution.stopped) == (None, None, "unfinished")
