"""What trains the tiny models: examples teach what they should, a model learns, samples and scores are its own."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
import torch

from lab import costs, derivations, judging, revision, verifier
from lab.beam import search
from lab.equal_flops import SEARCHES, compared
from lab.family import examples, products
from lab.growth import deepen, widen
from lab.judging import DRILL
from lab.measure import by_level, gain, missteps
from lab.muon import orthogonal
from lab.precision import fast
from lab.problems import Problem
from lab.replay import Samples, auc, best, majority_vote, passed, weighted_vote
from lab.sampling import draw, mean_logprobs
from lab.text import END, RIGHT, STEP_TAG, WRONG, decode, encode, prompt
from lab.training import IGNORED, Shape, fit, next_token, results

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]

PROBLEM = "(2*3)+(4-1)"
SMALL = Shape(layers=1, width=32)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Models as small as these only wait for each other's threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def taught(example: tuple[list[int], list[int]]) -> list[tuple[str, str]]:
    """What is to be written and behind which text."""
    tokens, goals = example
    return [(decode(tokens[: i + 1]), chr(goal)) for i, goal in enumerate(goals) if goal not in (IGNORED, END)]


def test_a_solution_is_taught_but_not_its_prompt() -> None:
    tokens, goals = next_token(prompt("1+2"), [*encode("1+2=3"), END])
    assert decode(tokens) == "1+2\n1+2=3"
    assert goals == [IGNORED] * 4 + [*encode("1+2=3"), END]


def test_a_verifier_is_taught_of_every_character_whether_a_right_step_can_begin_like_that() -> None:
    lines = ["3*2=6", "4-1=25", "6+2=8"]
    found = [(behind.split("\n")[-1], goal) for behind, goal in taught(verifier.labelled(PROBLEM, lines))]
    assert found == [
        ("3", RIGHT), ("3*", RIGHT), ("3*2", RIGHT), ("3*2=", RIGHT), ("3*2=6", RIGHT), ("3*2=6@", RIGHT),
        ("4", RIGHT), ("4-", RIGHT), ("4-1", RIGHT), ("4-1=", RIGHT), ("4-1=2", WRONG), ("4-1=25", WRONG), ("4-1=25@", WRONG),
        ("6", WRONG), ("6+", WRONG), ("6+2", WRONG), ("6+2=", WRONG), ("6+2=8", WRONG), ("6+2=8@", WRONG),
    ]  # fmt: skip
    operands = taught(verifier.labelled(PROBLEM, ["4-6=998"]))
    assert "".join(goal for _, goal in operands) == RIGHT * 2 + WRONG * 6
    split = taught(verifier.labelled("(12*3)+1", ["12*3=10*3+4*3"]))
    assert "".join(goal for _, goal in split) == RIGHT * len("12*3=10*3+") + WRONG * len("4*3@")


def test_a_drill_asks_for_results_alone() -> None:
    found = taught(verifier.drilled(["2*3=6", "7+8=25"]))
    assert [(behind.split("\n")[-1], goal) for behind, goal in found] == [
        ("2*3=", RIGHT), ("2*3=6", RIGHT), ("2*3=6@", RIGHT),
        ("7+8=", RIGHT), ("7+8=2", WRONG), ("7+8=25", WRONG), ("7+8=25@", WRONG),
    ]  # fmt: skip


def test_a_verifier_goes_on_writing_between_the_tags() -> None:
    tokens, goals = verifier.written(PROBLEM, ["2*3=6", "4-1=3"], judging.ASKED)
    assert decode(tokens).startswith(f"{judging.ASKED}{PROBLEM}\n2*3=6@\n4-1=3@")
    assert [(behind.split("\n")[-1], goal) for behind, goal in taught((tokens, goals))] == [
        ("2*3=6"[:place], letter) for place, letter in enumerate("2*3=6")
    ] + [("4-1=3"[:place], letter) for place, letter in enumerate("4-1=3")]


DRAWN = [(Problem(PROBLEM, 9, 1), ["2*3=6\n4-1=3\n6+3=9\n####9", "2*3=6\n4-1=5\n6+5=11\n####11"])]

HOPELESS = (Problem("(12*34)+5", 413, 3), ["12*34=418\n418+5=423\n####423"])


def judged(example: tuple[list[int], list[int]]) -> tuple[list[str], list[bool]]:
    """The lines that a verifier reads, and how it is to judge them."""
    lines = [line.removesuffix(STEP_TAG) for line in decode(example[0]).strip().split("\n") if line.endswith(STEP_TAG)]
    labels = [goal == RIGHT for behind, goal in taught(example) if behind.endswith(STEP_TAG)]
    return lines, labels


def test_every_other_solution_is_right_whatever_the_problem_and_most_of_the_others_end_where_they_go_wrong() -> None:
    found = [judged(example) for example in islice(judging.solutions([*DRAWN, HOPELESS], "seed"), 400)]
    for known in (PROBLEM, HOPELESS[0].text):
        ends = [labels[-1] for lines, labels in found if (lines[0] in ("2*3=6", "4-1=3")) == (known == PROBLEM)]
        assert 0.4 < sum(ends) / len(ends) < 0.6
    behind = [labels.count(False) > 1 for _, labels in found if not labels[-1]]
    assert 0.15 < sum(behind) / len(behind) < 0.35


@pytest.mark.parametrize("source", [judging.missed_operations, judging.common_operations])
def test_drills_end_with_a_step_as_wrong_as_the_generator_was(source: Any) -> None:
    found = [judged(example) for example in islice(source([HOPELESS] * judging.ENOUGH, "seed"), 200)]
    for lines, labels in found:
        assert all(labels[:-1])
        assert len(lines) == DRILL or not labels[-1]
    steps = [(line, label) for drill, labels in found for line, label in zip(drill, labels, strict=True)]
    assert 0.4 < sum(label for _, label in steps) / len(steps) < 0.6
    for line, label in steps:
        left, right, result = map(int, re.split("[*=]", line))  # such a product was the only mistake there was
        assert (result - left * right) % 1000 == (0 if label else 10)


def test_most_derivations_end_with_an_operand_misread_and_computed_rightly() -> None:
    found = [judged(example) for example in islice(judging.misread_operands(DRAWN, "seed"), 200)]
    assert 0.2 < sum(labels[-1] for _, labels in found) / len(found) < 0.6  # not every misreading makes a step wrong
    for lines, labels in found:
        assert all(labels[:-1])
        if labels[-1]:
            assert derivations.is_right(PROBLEM, lines)
            continue
        step = derivations.computed(lines[-1])
        assert step is not None
        assert int(step.written) == step.result


def test_questions_are_of_the_kind_that_was_missed() -> None:
    tokens, goals = next(judging.questions([HOPELESS] * judging.ENOUGH, "seed"))
    lead, *lines = decode(tokens).split("\n")
    assert lead + "\n" == judging.ASKED
    assert len(lines) == DRILL
    results_due = "".join(f"{int(line.split('*')[0]) * int(re.split('[*=]', line)[1]) % 1000}\n" for line in lines)
    assert "".join(goal for _, goal in taught((tokens, goals))) == results_due


def test_what_stands_in_front_of_the_equals_sign_is_given() -> None:
    tokens, goals = results(["12*34=408", "9*23=9*20+9*3"])
    assert decode(tokens) == "12*34=408\n9*23=9*20+9*3"
    assert "".join(goal for _, goal in taught((tokens, goals))) == "408\n9*20+9*3\n"
    assert len(goals) == len(tokens)
    drawn = decode(next(products("seed"))[0]).split("\n")
    assert len(drawn) == DRILL
    assert all("*" in line.partition("=")[0] for line in drawn)


def test_a_wider_model_starts_as_the_one_it_grew_from() -> None:
    small, wide = Shape(layers=1, width=96).new(seed=3), Shape(layers=1, width=288).new(seed=4)
    widen(small, wide)
    read = torch.tensor([[*prompt(PROBLEM), *encode("2*3=6\n")]])
    with torch.inference_mode():
        assert torch.allclose(wide(read).logits, small(read).logits, atol=1e-4)
    first, second = wide.model.layers[0].mlp.up_proj.weight[:, :192].split(96, dim=1)
    assert not torch.allclose(first, second, atol=1e-3)


def test_a_deeper_model_starts_as_the_one_it_grew_from() -> None:
    small, deep = Shape(layers=3, width=32).new(seed=3), Shape(layers=5, width=32).new(seed=4)
    deepen(small, deep)
    read = torch.tensor([[*prompt(PROBLEM), *encode("2*3=6\n")]])
    with torch.inference_mode():
        assert torch.allclose(deep(read).logits, small(read).logits, atol=1e-5)


def test_steps_are_made_orthogonal() -> None:
    torch.manual_seed(0)
    for rows, columns in ((16, 16), (16, 40), (40, 16)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(3, rows, columns) * 1e-3))
        assert values.min() > 0.3
        assert values.max() < 1.3


def test_revisions_are_as_in_the_paper() -> None:
    right, wrong = "2*3=6\n4-1=3\n6+3=9\n####9", "2*3=6\n4-1=4\n6+4=10\n####10"
    far = "4-1=300\n2*3=999\n999+300=1299\n####299"
    made = revision.sort(PROBLEM, [right, wrong, wrong, far])
    assert (made.right, set(made.wrong)) == ((right,), {wrong, far})
    found = list(islice(revision.examples([made], "seed"), 400))
    texts = [decode(tokens).split("\n~\n") for tokens, _ in found]
    assert {len(text) - 1 for text in texts} == {0, 1, 2}
    kept = [text for text in texts if len(text) > 1 and text[-2].endswith(right)]
    assert 0.15 < len(kept) / len(texts) < 0.35
    assert all(text[-2].endswith(wrong) for text in texts if len(text) > 1 and text not in kept)
    assert all(text[-1].endswith(right) for text in texts)


def test_a_model_learns_and_what_it_learns_depends_on_the_seed_alone() -> None:
    losses = []
    for _ in range(2):
        model = SMALL.new(seed=3)
        losses.append(fit(model, examples("a seed"), steps=60, tokens=1024, peak=1e-2, name="small"))
    assert losses[0] < 3.0
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_samples_are_the_models_own() -> None:
    model = SMALL.new(seed=3)
    prompts = [prompt("1+2"), prompt("(1+2)*3"), prompt("3+4")]
    (first, second), *_ = draw(model, prompts, n=2, temperature=0.0, seed=0, longest=12)
    assert first == second
    alone = [draw(model, [tokens], n=1, temperature=0.0, seed=0, longest=12)[0][0] for tokens in prompts]
    assert [texts[0] for texts in draw(model, prompts, n=1, temperature=0.0, seed=0, longest=12)] == alone
    (one, other), *_ = draw(model, prompts, n=2, temperature=1.0, seed=0, longest=12)
    assert one != other
    read = torch.tensor([[*prompts[0], *encode(first)]])
    with torch.inference_mode(), fast("cpu"):
        known = torch.log_softmax(model(input_ids=read).logits[0].float(), -1)
    goals = [*encode(first), END]
    expected = [known[len(prompts[0]) - 1 + i, token].item() for i, token in enumerate(goals)]
    (mean,) = mean_logprobs(model, [(prompts[0], first)])
    assert mean == pytest.approx(sum(expected) / len(expected), abs=1e-2)


def test_scores_do_not_depend_on_the_batch() -> None:
    model = SMALL.new(seed=3)
    candidates = [
        (PROBLEM, ["2*3=6", "4-1=3"]),
        (PROBLEM, ["4-1=3"]),
        ("(12*34)+5", ["12*34=408", "408+5=413", "####413"]),
    ]
    together = verifier.scores(model, candidates)
    alone = [verifier.scores(model, [candidate])[0] for candidate in candidates]
    assert [len(steps) for steps in together] == [2, 1, 3]
    assert [x for steps in together for x in steps] == pytest.approx([x for steps in alone for x in steps], abs=1e-2)


def test_a_search_pays_for_what_it_discards() -> None:
    model = SMALL.new(seed=3)
    problems = [Problem("1+2", 3, 1), Problem(PROBLEM, 9, 1)]
    found = search(model, model, problems, trees=2, beams=4, width=2, temperature=1.0, seed=0)
    shape = costs.architecture(model)
    for one, problem in zip(found, problems, strict=True):
        prompt_length = len(problem.text) + 2
        prompts = 2 * costs.reading(shape, prompt_length)
        # Each of the four first steps of both trees was written and scored, whatever became of it; their prompt counts once.
        least = 8 * (costs.writing(shape, 1, prompt_length) + costs.reading(shape, 2, prompt_length, scored=1))
        assert one.flops >= prompts + least


def test_every_search_has_its_row_beside_the_vote_of_the_same_flops() -> None:
    model = SMALL.new(seed=3)
    rows = compared(model, model, [Problem("1+2", 3, 1)], samples=2, temperature=1.0).splitlines()
    assert [row.split(" | ")[:3] for row in rows[2:]] == [
        [f"| {trees}", str(beams), str(width)] for trees, beams, width in SEARCHES
    ]


def naive_vote(one: Samples, n: int, weights: list[float], rng: random.Random) -> float:
    hits = 0
    for _ in range(4000):
        chosen = rng.sample(range(len(one.right)), n)
        totals: dict[str, float] = {}
        for index in chosen:
            answer = one.answers[index]
            if answer is not None:
                totals[answer] = totals.get(answer, 0.0) + weights[index]
        winner = max(totals, key=lambda answer: totals[answer]) if totals else None
        hits += winner == "9"
    return hits / 4000


def test_a_step_counts_until_the_first_wrong_one() -> None:
    texts = ["2*3=6\n4-1=3\n6+3=9\n####9", "2*3=6\n4-1=4\n6+4=10\n####10"]
    assert missteps([Problem(PROBLEM, 9, 2)] * 2, texts) == {2: 1 / 6}


def test_differences_are_taken_problem_by_problem() -> None:
    def one(level: int, right: int, score: float) -> Samples:
        hits = [index < right for index in range(64)]
        scores = [score if hit else 0.1 for hit in hits]
        answers = [str(index if hit else -(index % 3)) for index, hit in enumerate(hits)]
        return Samples(level, 5, False, answers, hits, scores, [0.0] * 64, derivations=0)

    found = by_level([one(1, 1, 0.9), one(1, 1, 0.0), one(2, 0, 0.0)])
    assert found["1"]["pass@64"].mean == 1.0
    assert found["1"]["auc"].mean == 0.5
    assert "auc" not in found["2"]
    assert found["all"][gain("auc", "auc logprob")].mean == 0.0
    assert found["all"][gain("pass@64", "greedy")].mean == pytest.approx(2 / 3)


def test_replays_are_what_drawing_again_and_again_gives() -> None:
    answers = ["9", "9", "8", "8", "8", None, "7", "9"]
    one = Samples(
        level=1,
        length=5,
        greedy=True,
        answers=answers,
        right=[answer == "9" for answer in answers],
        score=[0.9, 0.8, 0.2, 0.3, 0.1, 0.5, 0.6, 0.4],
        logprob=[0.0] * 8,
        derivations=0,
    )
    rng = random.Random(1)
    for n in (1, 3, 8):
        assert majority_vote(one, n) == pytest.approx(naive_vote(one, n, [1.0] * 8, rng), abs=0.04)
        assert weighted_vote(one, n) == pytest.approx(naive_vote(one, n, one.score, rng), abs=0.04)
    assert passed(one, 1) == best(one, 1) == 3 / 8
    assert best(one, 8) == 1.0
    assert auc(one, lambda s: s.score) == pytest.approx(13 / 15)
    assert auc(one, lambda s: s.logprob) == 0.5
