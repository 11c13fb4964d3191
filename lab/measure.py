"""Everything the model card says of the family, measured on a problem set that no model was trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from transformers import LlamaForCausalLM

from lab import verifier
from lab.derivations import answer_of, is_right, labels
from lab.problems import LEVELS, Problem
from lab.replay import Figure, Samples, auc, best, explained_by_length, figure, passed, separation, vote, weighted_vote
from lab.sampling import draw, mean_logprobs
from lab.text import prompt

SIZES = (1, 2, 4, 8, 16, 32, 64)


def greedy(model: LlamaForCausalLM, problems: Sequence[Problem]) -> list[bool]:
    texts = draw(model, [prompt(problem.text) for problem in problems], n=1, temperature=0.0, seed=0)
    return [answer_of(text) == str(problem.answer) for (text,), problem in zip(texts, problems, strict=True)]


@dataclass(frozen=True, slots=True)
class Measured:
    """For every problem what was drawn and what became of it."""

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
        scores = [of_each[-1] for of_each in steps]
    found = []
    for index, (problem, first) in enumerate(zip(problems, greedy(tiny, problems), strict=True)):
        span = slice(index * n, (index + 1) * n)
        texts = drawn[index]
        valid = [text for text in texts if is_right(problem.text, text.split("\n"))]
        found.append(
            Samples(
                level=problem.level,
                length=len(problem.text),
                greedy=first,
                answers=[answer_of(text) for text in texts],
                right=[answer_of(text) == str(problem.answer) for text in texts],
                score=scores[span],
                logprob=logprobs[span],
                derivations=len(set(valid[:8])) if len(valid) >= 8 else 0,
            )
        )
    return Measured(drawn, found)


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
    for steps, right in zip(scored, known, strict=True):
        called = next((index for index, score in enumerate(steps) if score < 0.5), None)
        wrong = right.index(False) if False in right else None
        found[wrong is None].append(called == wrong)
    shares = [sum(hits) / max(len(hits), 1) for hits in found.values()]
    return Judged(
        pooled_auc=separation([steps[-1] for steps in scored], [right[-1] for right in known]),
        step_auc=separation([s for steps in scored for s in steps], [r for right in known for r in right]),
        first_error_f1=2 * shares[0] * shares[1] / max(sum(shares), 1e-9),
    )


def table(samples: Sequence[Samples]) -> dict[str, dict[str, Figure]]:
    """By level and over all: greedy, pass@1, pass@64, votes and best-of-N at every size, the AUCs."""
    groups = {"all": list(samples)} | {str(level): [s for s in samples if s.level == level] for level in LEVELS}
    return {name: _row(group) for name, group in groups.items() if group}


def _row(group: Sequence[Samples]) -> dict[str, Figure]:
    columns: dict[str, Callable[[Samples], float | None]] = {
        "greedy": lambda one: float(one.greedy),
        "auc": lambda one: auc(one, lambda s: s.score),
        "auc logprob": lambda one: auc(one, lambda s: s.logprob),
        "derivations": lambda one: float(one.derivations) if one.derivations else None,
    }
    for n in SIZES:
        columns[f"pass@{n}"] = partial(passed, n=n)
        columns[f"majority@{n}"] = partial(vote, n=n)
        columns[f"weighted@{n}"] = partial(weighted_vote, n=n)
        columns[f"best@{n}"] = partial(best, n=n)
    found = {}
    for name, column in columns.items():
        values = [value for value in map(column, group) if value is not None]
        if values:
            found[name] = figure(values)
    return found


def summary(samples: Sequence[Samples]) -> str:
    """What a person reads: first the levels, then all of them together at every N."""
    rows = table(samples)
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
    )
    kinds = ("pass", "majority", "weighted", "best")
    lines = [f"R^2 of pass@1 by prompt length: {explained_by_length(samples):.2f}"]
    lines += [
        f"{cell:>12}  " + "  ".join(f"{name} {row[cell]}" for name, row in rows.items() if cell in row)
        for cell in cells
    ]
    lines += [f"N = {n:<3} " + "  ".join(f"{kind} {rows['all'][f'{kind}@{n}']}" for kind in kinds) for n in SIZES]
    return "\n".join(lines)
