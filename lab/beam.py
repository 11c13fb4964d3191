"""A plain step-level beam search (Snell et al., 2408.03314, section 5.2), to compare with weighted best-of-N."""

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
    beams: int,
    width: int,
    temperature: float,
    seed: int,
) -> list[Found]:
    """`beams` candidates a round of which the best `beams / width` each go on in `width` ways; the final beams vote,
    each with its score."""
    kept: list[list[Beam]] = [[Beam("", 0.0, False)] for _ in problems]
    shape, judge = costs.architecture(tiny), costs.architecture(prm)
    prompts = [len(problem.text) + 2 for problem in problems]
    spent = [costs.reading(shape, length) + costs.reading(judge, length) for length in prompts]
    for step in range(MOST_STEPS):
        fan = beams if step == 0 else width
        open_ = [(i, beam) for i, row in enumerate(kept) for beam in row if not beam.ended]
        if not open_:
            break
        drawn = draw(
            tiny,
            [prompt(problems[i].text) + encode(beam.text) for i, beam in open_],
            n=fan,
            temperature=temperature,
            seed=seed + step,
            stop=ord("\n"),
        )
        grown = [(i, beam.text + line, line) for (i, beam), lines in zip(open_, drawn, strict=True) for line in lines]
        scores = verifier.scores(prm, [(problems[i].text, text.rstrip("\n").split("\n")) for i, text, _ in grown])
        pool: dict[int, list[Beam]] = defaultdict(list)
        for i, row in enumerate(kept):
            pool[i] += [beam for beam in row if beam.ended]
        for (i, text, line), steps in zip(grown, scores, strict=True):
            pool[i].append(
                Beam(text, aggregate(steps, verifier.AGGREGATION), not line.endswith("\n") or line.startswith(ANSWER))
            )
            before = prompts[i] + len(text) - len(line)
            # Behind a step the generator wrote a newline or its end; the verifier read a tag behind every step as well.
            length = len(line.rstrip("\n")) + 1
            spent[i] += costs.writing(shape, length, before)
            spent[i] += costs.reading(judge, length + 1, before + len(steps) - 1, scored=1)
        kept = [sorted(pool[i], key=lambda beam: -beam.score)[: beams // width] for i in range(len(problems))]
    return [Found(_vote(row), flops) for row, flops in zip(kept, spent, strict=True)]


def _vote(row: Sequence[Beam]) -> str | None:
    weights: dict[str, float] = defaultdict(float)
    for beam in row:
        answer = answer_of(beam.text.rstrip("\n"))
        if beam.ended and answer is not None:
            weights[answer] += beam.score
    return max(weights, key=lambda answer: weights[answer]) if weights else None
