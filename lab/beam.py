"""A plain step-level beam search (Snell et al., 2408.03314, section 5.2), alone or in independent trees (Hugging Face,
"Scaling test-time compute with open models", 2024: DVTS), to compare with weighted best-of-N."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import LlamaForCausalLM

from lab import costs, verifier
from lab.derivations import ANSWER, answer_of
from lab.problems import Problem
from lab.sampling import draw
from lab.text import encode, prompt
from strategies.aggregation import aggregate

MOST_STEPS = 60


@dataclass(frozen=True, slots=True)
class Beam:
    """A partial solution, every line ended by a newline until the answer's line has no more to follow."""

    text: str
    score: float
    ended: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What a search answered for one problem, and the FLOPs it took, the verifier's and discarded beams' included."""

    answer: str | None
    flops: float


def search(
    tiny: LlamaForCausalLM,
    prm: LlamaForCausalLM,
    problems: Sequence[Problem],
    *,
    trees: int,
    beams: int,
    width: int,
    temperature: float,
    seed: int,
) -> list[Found]:
    """In each of `trees`, which know nothing of one another, `beams` candidates a round, of which the best `beams / width`
    each go on in `width` ways; the final beams of all trees vote, each with its score."""
    roots = [i for i in range(len(problems)) for _ in range(trees)]
    kept: list[list[Beam]] = [[Beam("", 0.0, False)] for _ in roots]
    shape, judge = costs.architecture(tiny), costs.architecture(prm)
    prompts = [len(problem.text) + 2 for problem in problems]
    spent = [costs.reading(shape, length) + costs.reading(judge, length) for length in prompts]
    for step in range(MOST_STEPS):
        fan = beams if step == 0 else width
        open_ = [(tree, beam) for tree, row in enumerate(kept) for beam in row if not beam.ended]
        if not open_:
            break
        drawn = draw(
            tiny,
            [prompt(problems[roots[tree]].text) + encode(beam.text) for tree, beam in open_],
            n=fan,
            temperature=temperature,
            seed=seed + step,
            stop=ord("\n"),
        )
        grown = [
            (tree, beam.text + line, line) for (tree, beam), lines in zip(open_, drawn, strict=True) for line in lines
        ]
        read = [(problems[roots[tree]].text, text.rstrip("\n").split("\n")) for tree, text, _ in grown]
        # By text: equal branches are one, or copies of the best would fill the beam.
        pool = [{beam.text: beam for beam in row if beam.ended} for row in kept]
        for (tree, text, line), steps in zip(grown, verifier.scores(prm, read), strict=True):
            ended = not line.endswith("\n") or line.startswith(ANSWER)
            pool[tree][text] = Beam(text, aggregate(steps, verifier.AGGREGATION), ended)
            before = prompts[roots[tree]] + len(text) - len(line)
            # Behind a step the generator wrote a newline or its end; the verifier read a tag behind every step as well.
            length = len(line.rstrip("\n")) + 1
            spent[roots[tree]] += costs.writing(shape, length, before)
            spent[roots[tree]] += costs.reading(judge, length + 1, before + len(steps) - 1, scored=1)
        kept = [sorted(found.values(), key=lambda beam: -beam.score)[: beams // width] for found in pool]
    last = [[beam for row in kept[i * trees : (i + 1) * trees] for beam in row] for i in range(len(problems))]
    return [Found(_vote(row), flops) for row, flops in zip(last, spent, strict=True)]


def _vote(row: Sequence[Beam]) -> str | None:
    weights: dict[str, float] = defaultdict(float)
    for beam in row:
        answer = answer_of(beam.text.rstrip("\n"))
        if beam.ended and answer is not None:
            weights[answer] += beam.score
    return max(weights, key=lambda answer: weights[answer]) if weights else None
