"""The three models: their sizes, seeds and lengths of training, and the stages that make them, each kept on disk."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_model, save_model
from transformers import LlamaForCausalLM

from lab import revision, verifier
from lab.derivations import SELDOM, SPLITS, derive, labels
from lab.growth import widen
from lab.problems import Problem, training_problems
from lab.sampling import draw
from lab.text import prompt, solution
from lab.training import Example, Shape, fit, next_token, results

TINY = Shape(layers=5, width=96)
LARGE = Shape(layers=5, width=288)
Levels = tuple[float, float, float, float, float]
"""Shares of the five levels among problems."""

EVEN: Levels = (1, 1, 1, 1, 1)
EASIER: Levels = (4, 3, 2, 1, 1)
MIDDLE: Levels = (1, 2, 2, 2, 1)
HARDER: Levels = (0, 1, 1, 1, 1)

DRILL = 8
"""Products in one example of a drill."""

PRODUCT = re.compile(r"\d+\*\d+=[\d*+]+")

TEMPERATURE = 0.8
"""Of the samples that revisions and the verifier are taught on: a little above the one the family is used at, so that
they have seen more kinds of mistakes."""

USED_AT = 0.6
"""The temperature the family is measured and used at (`models/prompts/tiny.j2`)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is trained and drawn."""

    base_steps: int = 2500
    revision_steps: int = 900
    revision_problems: int = 3000
    large_steps: int = 1500
    verifier_steps: int = 10000
    verifier_problems: int = 10000


def examples(seed: str, levels: Levels = EVEN, splits: Mapping[str, float] = SPLITS) -> Iterator[Example]:
    """Right solutions of training problems, without end; `levels` and `splits` are shares."""
    rng = random.Random(f"{seed} derivations")
    for problem in training_problems(seed, levels):
        yield next_token(prompt(problem.text), solution(derive(problem.text, rng, splits)))


def products(seed: str) -> Iterator[Example]:
    """Products alone, several to an example, to be computed or split: what the easier levels have least of."""
    rng = random.Random(f"{seed} products")
    lines = (
        line
        for problem in training_problems(f"{seed} products", HARDER)
        for line in derive(problem.text, rng)
        if "*" in line.partition("=")[0]
    )
    while True:
        yield results(list(itertools.islice(lines, DRILL)))


class Workshop:
    """Makes what is not there yet. `folder` keeps every stage, so that an interrupted run goes on with the next."""

    def __init__(self, folder: Path, plan: Plan, device: str) -> None:
        self.folder, self.plan, self.device = folder, plan, device
        folder.mkdir(parents=True, exist_ok=True)

    def base(self) -> LlamaForCausalLM:
        def teach(model: LlamaForCausalLM) -> None:
            fit(model, examples("tiny"), steps=self.plan.base_steps, tokens=16384, peak=1.2e-2, name="tiny-base")

        return self._stage("tiny-base", TINY, 1, teach)

    def tiny(self) -> LlamaForCausalLM:
        def teach(model: LlamaForCausalLM) -> None:
            base = self.base()
            model.load_state_dict(base.state_dict())
            drawn = self._samples("revision", base, self.plan.revision_problems, n=8)
            pool = [revision.sort(problem.text, texts) for problem, texts in drawn]
            # More of the easier levels, whose solutions are short.
            plain = examples("tiny again", levels=EASIER, splits=SELDOM)
            mixed = _alternate(plain, plain, plain, revision.examples(pool, "revision"))
            fit(model, mixed, steps=self.plan.revision_steps, tokens=16384, peak=4e-3, name="tiny")

        return self._stage("tiny", TINY, 1, teach)

    def large(self) -> LlamaForCausalLM:
        def teach(model: LlamaForCausalLM) -> None:
            widen(self.tiny(), model)
            mixed = _alternate(examples("tiny-large"), products("tiny-large"))
            fit(model, mixed, steps=self.plan.large_steps, tokens=4096, peak=5e-3, name="tiny-large")

        return self._stage("tiny-large", LARGE, 2, teach)

    def prm(self) -> LlamaForCausalLM:
        def teach(model: LlamaForCausalLM) -> None:
            drawn = self._samples("verifier", self.tiny(), self.plan.verifier_problems, n=4, levels=MIDDLE)
            mixed = _alternate(_judged(drawn, "tiny-prm"), judged_products(drawn, "tiny-prm"))
            fit(model, mixed, steps=self.plan.verifier_steps, tokens=3072, peak=1e-2, name="tiny-prm")

        return self._stage("tiny-prm", TINY, 3, teach)

    def _stage(self, name: str, shape: Shape, seed: int, teach: Callable[[LlamaForCausalLM], None]) -> LlamaForCausalLM:
        model, path = shape.new(seed).to(self.device), self.folder / f"{name}.safetensors"
        if path.exists():
            load_model(model, path, device=self.device)
        else:
            teach(model)
            save_model(model, str(path))
        return model.eval()

    def _samples(
        self, name: str, model: LlamaForCausalLM, count: int, n: int, levels: Levels = EVEN
    ) -> list[tuple[Problem, list[str]]]:
        """n solutions for each of `count` training problems."""
        path = self.folder / f"{name}-samples.jsonl"
        problems = list(itertools.islice(training_problems(name, levels), count))
        if not path.exists():
            texts = draw(model, [prompt(problem.text) for problem in problems], n=n, temperature=TEMPERATURE, seed=4)
            path.write_text("".join(json.dumps(row) + "\n" for row in texts))
        return list(zip(problems, map(json.loads, path.read_text().splitlines()), strict=True))


def _judged(drawn: Sequence[tuple[Problem, list[str]]], seed: str) -> Iterator[Example]:
    rng = random.Random(seed)
    while True:
        problem, texts = rng.choice(drawn)
        lines = rng.choice(texts).split("\n")
        yield verifier.labelled(problem.text, lines, labels(problem.text, lines))


def judged_products(drawn: Sequence[tuple[Problem, list[str]]], seed: str) -> Iterator[Example]:
    """The products that the samples compute or split, several to an example, each judged by itself."""
    rng = random.Random(f"{seed} products")
    lines = sorted(
        {line for _, texts in drawn for text in texts for line in text.split("\n") if PRODUCT.fullmatch(line)}
    )
    right = {line: labels(line.partition("=")[0], [line])[0] for line in lines}
    while True:
        some = rng.choices(lines, k=DRILL)
        yield verifier.drill(some, [right[line] for line in some])


def _alternate(*sources: Iterator[Example]) -> Iterator[Example]:
    return (example for together in zip(*sources, strict=True) for example in together)
