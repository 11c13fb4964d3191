"""The world of the tiny models: its problems, their derivations, and a checker that is never wrong."""

from __future__ import annotations

import json
import random
from itertools import islice

import pytest

from lab.derivations import answer_of, at_least, derive, is_right, labels
from lab.expressions import evaluate, operations, read, within, write
from lab.problems import FEWEST_DERIVATIONS, LEVELS, MIXES, RECIPES, SETS, draw_problem, problem_set, training_problems
from scheduler.tiny import PROBLEMS


@pytest.mark.parametrize("text", ["(47*36)+5", "9-(2*(45+83))", "((1+2)*(3-4))-7", "12"])
def test_what_is_read_is_written_again(text: str) -> None:
    assert write(read(text)) == text


@pytest.mark.parametrize("text", ["", "1+", "(1+2", "1+2)", "1 + 2", "1+2+3", "+", "2**3", "(1+2)(3+4)"])
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expression|operand|bracket"):
        read(text)


@pytest.mark.parametrize(("text", "value"), [("47*36", 692), ("5-9", 996), ("(999+1)*7", 0), ("999*999", 1)])
def test_results_are_taken_modulo_1000(text: str, value: int) -> None:
    assert evaluate(read(text)) == value


@pytest.mark.parametrize("level", LEVELS)
def test_every_derivation_is_right_and_there_are_many(level: int) -> None:
    rng = random.Random(level)
    for _ in range(50):
        problem = draw_problem(level, rng)
        fewest, most = RECIPES[level].operations
        assert fewest <= operations(read(problem.text)) <= most
        assert at_least(read(problem.text)) >= FEWEST_DERIVATIONS
        found = {tuple(derive(problem.text, rng)) for _ in range(60)}
        assert len(found) >= 3
        assert all(is_right(problem.text, list(lines)) for lines in found)
        assert {answer_of("\n".join(lines)) for lines in found} == {str(problem.answer)}


@pytest.mark.parametrize("level", LEVELS)
def test_a_changed_digit_is_wrong_from_that_step_on(level: int) -> None:
    rng = random.Random(level)
    for _ in range(100):
        problem = draw_problem(level, rng)
        lines = derive(problem.text, rng)
        index = rng.randrange(len(lines))
        spot = rng.choice([i for i, c in enumerate(lines[index]) if c.isdigit()])
        other = rng.choice([d for d in "123456789" if d != lines[index][spot]])
        broken = [*lines]
        broken[index] = lines[index][:spot] + other + lines[index][spot + 1 :]
        assert labels(problem.text, broken) == [True] * index + [False] * (len(lines) - index)


@pytest.mark.parametrize(
    ("problem", "lines", "expected"),
    [
        ("(47*36)+5", ["47*36=47*30+47*6", "47*30=410", "47*6=282", "410+282=692", "692+5=697", "####697"], [True] * 6),
        ("(47*36)+5", ["36*47=692", "5+692=697", "####697"], [True] * 3),
        ("(9-4)+5", ["4-9=995", "995+5=0", "####0"], [False] * 3),  # a difference may not be turned round
        ("(47*36)+5", ["36+5=41"], [False]),  # right arithmetic, not what the problem asks
        ("(47*36)+5", ["47*36=691", "692+5=697", "####697"], [False] * 3),  # a wrong step is never made good
        ("(47*36)+5", ["####697"], [True]),
        ("(47*36)+5", ["47*36=0692"], [False]),
        ("(47*36)+5", [""], [False]),
        # The first line may mean either bracket: the second tells which.
        ("((1+2)*7)+((1+2)*8)", ["1+2=3", "3*8=24", "1+2=3", "3*7=21", "21+24=45", "####45"], [True] * 6),
    ],
)
def test_the_labels_of_a_solution(problem: str, lines: list[str], expected: list[bool]) -> None:
    assert labels(problem, lines) == expected


def test_a_solution_without_its_answer_is_not_right() -> None:
    assert not is_right("(2*3)+4", ["2*3=6", "6+4=10"])
    assert answer_of("2*3=6\n6+4=10") is None


def test_no_problem_is_in_two_sets_or_in_training() -> None:
    sets = {name: {problem.text for problem in problem_set(name, size=300)} for name in SETS}
    training = {problem.text for problem in islice(training_problems("a seed"), 3000)}
    everything = [*sets.values(), training]
    assert all(len(found) == 300 for found in sets.values())
    assert sum(map(len, everything)) == len(set().union(*everything))


@pytest.mark.parametrize(
    ("mix", "shares"), [("uniform", [0.2] * 5), ("settled-heavy", [0.4, 1 / 15, 1 / 15, 1 / 15, 0.4])]
)
def test_the_mixes(mix: str, shares: list[float]) -> None:
    problems = problem_set("development", mix, size=150)
    assert mix in MIXES
    assert [sum(p.level == level for p in problems) / 150 for level in LEVELS] == pytest.approx(shares, abs=0.01)


def test_the_easiest_level_of_a_set_keeps_to_results_of_two_and_three_digits() -> None:
    easiest = [problem for problem in problem_set("held-out", size=300) if problem.level == 1]
    assert len(easiest) == 60
    assert all(within(read(problem.text), range(10, 1000)) for problem in easiest)
    assert not within(read("(7-12)+20"), range(10, 1000))  # -5 wraps around, though the answer does not
    assert not within(read("(990+15)-20"), range(10, 1000))


def test_the_sets_are_the_same_everywhere() -> None:
    assert [(problem.text, problem.answer, problem.level) for problem in problem_set("held-out", size=3)] == [
        ("(62+98)+(7+62)", 229, 1),
        ("((98-256)-42)+((58-89)+83)", 852, 2),
        ("77+((70*80)-((46*4)-64))", 557, 3),
    ]


def test_the_shipped_problems_are_the_held_out_set() -> None:
    rows = [json.loads(line) for line in PROBLEMS.read_text().splitlines()]
    assert [(row["prompt"], row["answer"], row["level"]) for row in rows] == [
        (problem.text, str(problem.answer), problem.level) for problem in problem_set("held-out")
    ]
