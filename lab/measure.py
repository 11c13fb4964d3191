"""Everything the model card says of the family, measured on a problem set that no model was trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import LlamaForCausalLM

from lab import verifier
from lab.derivations import answer_of, is_right, labels
from lab.problems import LEVELS, Problem
from lab.replay import (
    Figure,
    Samples,
    auc,
    best,
    explained_by_length,
    figure,
    majority_vote,
    passed,
    separation,
    weighted_vote,
)
from lab.sampling import draw, mean_logprobs
from lab.text import prompt
from strategies.aggregation import aggregate

SIZES = (1, 2, 4, 8, 16, 32, 64)

GAINS = (
    ("pass@64", "greedy"),
    ("majority@64", "greedy"),
    ("weighted@64", "majority@64"),
    ("auc", "auc logprob"),
)
"""Pairs of figures whose difference, problem by problem, is a figure of its own."""


def gain(better: str, than: str) -> str:
    return f"{better} - {than}"


def greedy(model: LlamaForCausalLM, problems: Sequence[Problem]) -> list[str]:
    texts = draw(model, [prompt(problem.text) for problem in problems], n=1, temperature=0.0, seed=0)
    return [text for (text,) in texts]


def right(problem: Problem, text: str) -> bool:
    return answer_of(text) == str(problem.answer)


def missteps(problems: Sequence[Problem], texts: Sequence[str]) -> dict[int, float]:
    """By level: of the steps of greedy solutions that stand behind right ones alone, the share that is wrong."""
    taken, wrong = dict.fromkeys(LEVELS, 0), dict.fromkeys(LEVELS, 0)
    for problem, text in zip(problems, texts, strict=True):
        known = labels(problem.text, text.split("\n"))
        taken[problem.level] += sum(known) + (not all(known))
        wrong[problem.level] += not all(known)
    return {level: wrong[level] / taken[level] for level in LEVELS if taken[level]}


@dataclass(frozen=True, slots=True)
class Measured:
    """For every problem what was drawn and what became of it."""

    greedy: list[str]
    texts: list[list[str]]
    samples: list[Samples]


def measure(
    tiny: LlamaForCausalLM,
    prm: LlamaForCausalLM | None,
    problems: Sequence[Problem],
    *,
    n: int,
    temperature: float,
    seed: int = 5,
) -> Measured:
    """n samples a problem, scored by the verifier or, without one, by the generator's own confidence."""
    drawn = draw(tiny, [prompt(problem.text) for problem in problems], n=n, temperature=temperature, seed=seed)
    flat = [(problem, text) for problem, texts in zip(problems, drawn, strict=True) for text in texts]
    logprobs = mean_logprobs(tiny, [(prompt(problem.text), text) for problem, text in flat])
    if prm is None:
        scores = [math.exp(logprob) for logprob in logprobs]
    else:
        steps = verifier.scores(prm, [(problem.text, text.split("\n")) for problem, text in flat])
        scores = [aggregate(of_each, verifier.AGGREGATION) for of_each in steps]
    firsts, found = greedy(tiny, problems), []
    for index, (problem, first) in enumerate(zip(problems, firsts, strict=True)):
        span = slice(index * n, (index + 1) * n)
        texts = drawn[index]
        valid = [text for text in texts if is_right(problem.text, text.split("\n"))]
        found.append(
            Samples(
                level=problem.level,
                length=len(problem.text),
                greedy=right(problem, first),
                answers=[answer_of(text) for text in texts],
                right=[right(problem, text) for text in texts],
                score=scores[span],
                logprob=logprobs[span],
                derivations=len(set(valid[:8])) if len(valid) >= 8 else 0,
            )
        )
    return Measured(firsts, drawn, found)


@dataclass(frozen=True, slots=True)
class Judged:
    """How well the verifier tells right from wrong, problems thrown together."""

    pooled_auc: float
    step_auc: float
    first_error_f1: float


def judge(prm: LlamaForCausalLM, problems: Sequence[Problem], texts: Sequence[Sequence[str]], each: int = 8) -> Judged:
    """Step scores against the exact checker's labels, on the first `each` candidates of every problem.

    A step scored below one half is called wrong; F1 is the harmonic mean of how often the first wrong step is found
    and how often a right candidate is called right throughout.
    """
    flat = [(one.text, text.split("\n")) for one, drawn in zip(problems, texts, strict=True) for text in drawn[:each]]
    scored = verifier.scores(prm, flat)
    known = [labels(problem, lines) for problem, lines in flat]
    found: dict[bool, list[bool]] = {True: [], False: []}
    for steps, truth in zip(scored, known, strict=True):
        called = next((index for index, score in enumerate(steps) if score < 0.5), None)
        wrong = truth.index(False) if False in truth else None
        found[wrong is None].append(called == wrong)
    shares = [sum(hits) / max(len(hits), 1) for hits in found.values()]
    return Judged(
        pooled_auc=separation(
            [aggregate(steps, verifier.AGGREGATION) for steps in scored], [truth[-1] for truth in known]
        ),
        step_auc=separation([s for steps in scored for s in steps], [one for truth in known for one in truth]),
        first_error_f1=2 * shares[0] * shares[1] / max(sum(shares), 1e-9),
    )


Row = dict[str, float | None]
"""One problem's figures by name; None where it does not say: no right candidate beside a wrong one, for an AUC."""


def replayed(one: Samples) -> Row:
    """Greedy decoding, pass@N, votes and best-of-N at every size, the AUCs of both scores."""
    found: Row = {
        "greedy": float(one.greedy),
        "auc": auc(one, lambda s: s.score),
        "auc logprob": auc(one, lambda s: s.logprob),
        "derivations": float(one.derivations) or None,
    }
    for n in SIZES:
        found[f"pass@{n}"] = passed(one, n)
        found[f"majority@{n}"] = majority_vote(one, n)
        found[f"weighted@{n}"] = weighted_vote(one, n)
        found[f"best@{n}"] = best(one, n)
    for better, than in GAINS:
        ours, theirs = found[better], found[than]
        if ours is not None and theirs is not None:
            found[gain(better, than)] = ours - theirs
    return found


def by_level(samples: Sequence[Samples]) -> dict[str, dict[str, Figure]]:
    """The means of all figures, over all problems and over those of each level."""
    rows = [replayed(one) for one in samples]
    groups = {"all": rows} | {
        str(level): [row for row, one in zip(rows, samples, strict=True) if one.level == level] for level in LEVELS
    }
    return {name: _means(group) for name, group in groups.items() if group}


def _means(rows: Sequence[Row]) -> dict[str, Figure]:
    columns = {column for row in rows for column in row}
    known = {column: [value for row in rows if (value := row.get(column)) is not None] for column in columns}
    return {column: figure(values) for column, values in known.items() if values}


def summary(samples: Sequence[Samples]) -> str:
    """What a person reads: first the levels, then all of them together at every N."""
    rows = by_level(samples)
    cells = (
        "greedy",
        "pass@1",
        "pass@64",
        "majority@64",
        "weighted@64",
        "best@64",
        "auc",
        "auc logprob",
        "derivations",
        *(gain(*pair) for pair in GAINS),
    )
    kinds = ("pass", "majority", "weighted", "best")
    lines = [f"R^2 of pass@1 by prompt length: {explained_by_length(samples):.2f}"]
    lines += [
        f"{cell:>25}  " + "  ".join(f"{name} {row[cell]}" for name, row in rows.items() if cell in row)
        for cell in cells
    ]
    lines += [f"N = {n:<3} " + "  ".join(f"{kind} {rows['all'][f'{kind}@{n}']}" for kind in kinds) for n in SIZES]
    return "\n".join(lines)
