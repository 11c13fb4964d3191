"""Everything the model card says of the family, measured on a problem set that no model was trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from transformers import LlamaForCausalLM

from lab import verifier
from lab.derivations import answer_of, is_right
from lab.problems import LEVELS, Problem
from lab.replay import Figure, Samples, auc, best, explained_by_length, figure, passed, vote, weighted_vote
from lab.sampling import draw, mean_logprobs
from lab.text import prompt

SIZES = (1, 2, 4, 8, 16, 32, 64)


def greedy(model: LlamaForCausalLM, problems: Sequence[Problem]) -> list[bool]:
    texts = draw(model, [prompt(problem.text) for problem in problems], n=1, temperature=0.0, seed=0)
    return [answer_of(text) == str(problem.answer) for (text,), problem in zip(texts, problems, strict=True)]


def collect(
    tiny: LlamaForCausalLM, prm: LlamaForCausalLM, problems: Sequence[Problem], n: int, seed: int = 5
) -> list[Samples]:
    """n samples a problem at temperature 1, scored by the verifier and by the generator's own confidence."""
    drawn = draw(tiny, [prompt(problem.text) for problem in problems], n=n, temperature=1.0, seed=seed)
    flat = [(problem, text) for problem, texts in zip(problems, drawn, strict=True) for text in texts]
    scored = verifier.scores(prm, [(problem.text, text.split("\n")) for problem, text in flat])
    logprobs = mean_logprobs(tiny, [(prompt(problem.text), text) for problem, text in flat])
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
                prm=[steps[-1] for steps in scored[span]],
                logprob=logprobs[span],
                derivations=len(set(valid[:8])) if len(valid) >= 8 else 0,
            )
        )
    return found


def table(samples: Sequence[Samples]) -> dict[str, dict[str, Figure]]:
    """By level and over all: greedy, pass@1, pass@64, votes and best-of-N at every size, the AUCs."""
    groups = {"all": list(samples)} | {str(level): [s for s in samples if s.level == level] for level in LEVELS}
    return {name: _row(group) for name, group in groups.items() if group}


def _row(group: Sequence[Samples]) -> dict[str, Figure]:
    columns: dict[str, Callable[[Samples], float | None]] = {
        "greedy": lambda one: float(one.greedy),
        "auc prm": lambda one: auc(one, lambda s: s.prm),
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
    rows = table(samples)
    lines = [f"R^2 of pass@1 by prompt length: {explained_by_length(samples):.2f}"]
    for name, row in rows.items():
        cells = (
            "greedy",
            "pass@1",
            "pass@64",
            "majority@64",
            "weighted@64",
            "best@64",
            "auc prm",
            "auc logprob",
            "derivations",
        )
        lines.append(f"{name:>4} " + " ".join(f"{cell} {row[cell].mean:.3f}" for cell in cells if cell in row))
    kinds = ("pass", "majority", "weighted", "best")
    lines += [f"N={n:<3} " + " ".join(f"{kind} {rows['all'][f'{kind}@{n}']}" for kind in kinds) for n in SIZES]
    return "\n".join(lines)
