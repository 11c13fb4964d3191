"""The three models: their sizes, seeds and lengths of training, and the stages that make them, each kept on disk."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_model, save_model
from transformers import LlamaForCausalLM

from lab import revision, verifier
from lab.derivations import derive, labels
from lab.problems import Problem, training_problems
from lab.sampling import draw
from lab.text import prompt, solution
from lab.training import Example, Shape, fit, next_token

TINY = Shape(layers=5, width=96)
LARGE = Shape(layers=6, width=256)

TEMPERATURE = 0.8
"""Of the samples that revisions and the verifier are taught on: a little above the one the family is used at, so that
they have seen more kinds of mistakes."""

USED_AT = 0.6
"""The temperature the family is measured and used at (`models/prompts/tiny.j2`)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is trained and drawn."""

    base_steps: int = 2500
    large_steps: int = 3500
    revision_steps: int = 4000
    revision_problems: int = 3000
    reader_steps: int = 10000
    verifier_steps: int = 6000
    verifier_problems: int = 8000


def examples(seed: str, levels: Sequence[float] = (1, 1, 1, 1, 1)) -> Iterator[Example]:
    """Right solutions of training problems, without end; `levels` are their shares."""
    rng = random.Random(f"{seed} derivations")
    for problem in training_problems(seed, levels):
        yield next_token(prompt(problem.text), solution(derive(problem.text, rng)))


def tagged(seed: str) -> Iterator[Example]:
    """Such solutions in the verifier's format: every step is right."""
    rng = random.Random(f"{seed} derivations")
    for problem in training_problems(seed):
        lines = derive(problem.text, rng)
        yield verifier.labelled(problem.text, lines, [True] * len(lines))


class Workshop:
    """Makes what is not there yet. `folder` keeps every stage, so that an interrupted run goes on with the next."""

    def __init__(self, folder: Path, plan: Plan, device: str) -> None:
        self.folder, self.plan, self.device = folder, plan, device
        folder.mkdir(parents=True, exist_ok=True)

    def base(self) -> LlamaForCausalLM:
        return self._stage(
            "tiny-base",
            TINY,
            1,
            lambda model: self._fit(model, examples("tiny"), self.plan.base_steps, 1.2e-2, "tiny-base", 16384),
        )

    def large(self) -> LlamaForCausalLM:
        return self._stage(
            "tiny-large",
            LARGE,
            2,
            lambda model: self._fit(model, examples("tiny-large"), self.plan.large_steps, 6e-3, "tiny-large"),
        )

    def tiny(self) -> LlamaForCausalLM:
        def teach(model: LlamaForCausalLM) -> None:
            base = self.base()
            model.load_state_dict(base.state_dict())
            drawn = self._samples("revision", base, self.plan.revision_problems, n=8)
            pool = [revision.sort(problem.text, texts) for problem, texts in drawn]
            # More of the easier levels, whose solutions are short.
            plain = examples("tiny again", levels=(4, 3, 2, 1, 1))
            mixed = _alternate(plain, plain, plain, revision.examples(pool, "revision"))
            self._fit(model, mixed, self.plan.revision_steps, 4e-3, "tiny")

        return self._stage("tiny", TINY, 1, teach)

    def prm_base(self) -> LlamaForCausalLM:
        return self._stage(
            "tiny-prm-base",
            TINY,
            3,
            lambda model: self._fit(model, tagged("tiny-prm-base"), self.plan.reader_steps, 1.2e-2, "tiny-prm-base"),
        )

    def prm(self) -> LlamaForCausalLM:
        def teach(model: LlamaForCausalLM) -> None:
            model.load_state_dict(self.prm_base().state_dict())
            drawn = self._samples("verifier", self.tiny(), self.plan.verifier_problems, n=8)
            mixed = _alternate(tagged("tiny-prm"), _judged(drawn, "tiny-prm"))
            self._fit(model, mixed, self.plan.verifier_steps, 1e-2, "tiny-prm")

        return self._stage("tiny-prm", TINY, 3, teach)

    def _fit(
        self,
        model: LlamaForCausalLM,
        examples: Iterator[Example],
        steps: int,
        peak: float,
        name: str,
        tokens: int = 3072,
    ) -> None:
        fit(model, examples, steps=steps, tokens=tokens, peak=peak, name=name)

    def _stage(self, name: str, shape: Shape, seed: int, teach: Callable[[LlamaForCausalLM], None]) -> LlamaForCausalLM:
        model, path = shape.new(seed).to(self.device), self.folder / f"{name}.safetensors"
        if path.exists():
            load_model(model, path, device=self.device)
        else:
            teach(model)
            save_model(model, str(path))
        return model.eval()

    def _samples(self, name: str, model: LlamaForCausalLM, count: int, n: int) -> list[tuple[Problem, list[str]]]:
        """n solutions for each of `count` training problems."""
        path = self.folder / f"{name}-samples.jsonl"
        problems = list(itertools.islice(training_problems(name), count))
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


def _alternate(*sources: Iterator[Example]) -> Iterator[Example]:
    return (example for together in zip(*sources, strict=True) for example in together)
