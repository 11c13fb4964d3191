"""Beam searches beside the weighted best-of-N of the same FLOPs, on the levels where a search has something to gain."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from transformers import LlamaForCausalLM

from lab import beam, costs
from lab.card import table
from lab.measure import SIZES, measure
from lab.problems import Problem
from lab.replay import Samples, figure, weighted_vote

MIDDLE = (2, 3, 4)
"""The easiest level is settled, the hardest beyond reach."""

SEARCHES = ((1, 4, 4), (1, 8, 2), (4, 2, 2), (8, 2, 2))
"""Trees, beams in each, and in how many ways a beam that is kept goes on."""


def compared(
    tiny: LlamaForCausalLM, prm: LlamaForCausalLM, problems: Sequence[Problem], *, samples: int, temperature: float
) -> str:
    """A table of accuracies and FLOPs; the vote of `samples` at most, between two sizes interpolated."""
    measured = measure(tiny, prm, problems, n=samples, temperature=temperature)
    shapes = costs.architecture(tiny), costs.architecture(prm)
    prompts = [costs.reading(shapes[0], len(problem.text) + 2) for problem in problems]
    each = [
        costs.weighted(*shapes, problem.text, texts) for problem, texts in zip(problems, measured.texts, strict=True)
    ]
    votes = [(n, (sum(prompts) + n * sum(each)) / len(problems)) for n in SIZES if n <= samples]
    found = []
    for trees, beams, width in SEARCHES:
        answers = beam.search(
            tiny, prm, problems, trees=trees, beams=beams, width=width, temperature=temperature, seed=6
        )
        hits = [float(one.answer == str(problem.answer)) for one, problem in zip(answers, problems, strict=True)]
        spent = sum(one.flops for one in answers) / len(problems)
        equal = [_at(sample, spent, votes) for sample in measured.samples]
        gain = figure([a - b for a, b in zip(hits, equal, strict=True)])
        found.append((trees, beams, width, f"{spent:.3g}", figure(hits), figure(equal), gain))
    heads = ("trees", "beams in each", "width", "FLOPs a problem", "accuracy", "weighted vote", "difference")
    return "\n".join(table(heads, found))


def _at(sample: Samples, spent: float, votes: Sequence[tuple[int, float]]) -> float:
    """The weighted vote's accuracy on one problem for `spent` FLOPs; `votes` are sizes and what they cost."""
    index = min(max(bisect_right([flops for _, flops in votes], spent), 1), len(votes) - 1)
    (fewer, low), (more, high) = votes[index - 1 : index + 1]
    share = min(max((spent - low) / (high - low), 0.0), 1.0)
    return (1 - share) * weighted_vote(sample, fewer) + share * weighted_vote(sample, more)
