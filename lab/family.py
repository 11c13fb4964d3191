"""The three models: their sizes, seeds and lengths of training, and the stages that make them, each kept on disk."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import load_model, save_model
from transformers import LlamaForCausalLM

from lab import judging, revision
from lab.derivations import SELDOM, SPLITS, derive
from lab.growth import deepen, widen
from lab.problems import EVEN, HARDER, MIDDLE, Levels, training_problems
from lab.sampling import draw
from lab.text import prompt, solution
from lab.training import Example, Shape, fit, next_token, results

TINY = Shape(layers=5, width=96)
LARGE = Shape(layers=5, width=288)
VERIFIER = Shape(layers=8, width=96)
"""Three layers more than `tiny`, which knows only in its last one what it would have written: to compare that with what
stands there takes layers behind it, and to put the steps together one more."""

EASIER: Levels = (4, 3, 2, 1, 1)

TEMPERATURE = 0.8
"""Of the samples that revisions and the verifier are taught on: a little above the one the family is used at, so that
they have seen more kinds of mistakes."""

USED_AT = 0.6
"""The temperature the family is measured and used at (`models/prompts/tiny.j2`)."""


class Round(NamedTuple):
    """A part of a model's training that is kept on disk: batches, about how many tokens each, the learning rate's peak."""

    steps: int
    tokens: int
    peak: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is trained and drawn."""

    base: tuple[Round, ...] = (Round(2500, 16384, 1.2e-2),)
    tiny: tuple[Round, ...] = (Round(900, 16384, 4e-3),)
    large_base: tuple[Round, ...] = (Round(1500, 4096, 5e-3),)
    large: tuple[Round, ...] = (Round(1480, 4096, 4e-3),)
    comparer: tuple[Round, ...] = (Round(2500, 2048, 8e-3),)
    reader: tuple[Round, ...] = (Round(9000, 2048, 3e-3),)
    verifier: tuple[Round, ...] = (Round(12000, 2048, 4e-3), Round(12000, 2048, 3e-3))
    revision_problems: int = 3000
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
        yield results(list(itertools.islice(lines, judging.DRILL)))


class Workshop:
    """Makes what is not there yet. `folder` keeps every round of training, so that an interrupted run goes on with the
    one it was in."""

    def __init__(self, folder: Path, plan: Plan, device: str) -> None:
        self.folder, self.plan, self.device = folder, plan, device
        folder.mkdir(parents=True, exist_ok=True)

    def base(self) -> LlamaForCausalLM:
        return self._train("tiny-base", TINY.new(1), self.plan.base, examples)

    def tiny(self) -> LlamaForCausalLM:
        def lessons(seed: str) -> Iterator[Example]:
            drawn = self._samples("revision", self.base(), self.plan.revision_problems, n=8, levels=EVEN)
            pool = [revision.sort(problem.text, texts) for problem, texts in drawn]
            # More of the easier levels, whose solutions are short.
            plain = examples(seed, levels=EASIER, splits=SELDOM)
            return _alternate(plain, plain, plain, revision.examples(pool, seed))

        return self._train("tiny", TINY.new(1), self.plan.tiny, lessons, lambda model: _copy(self.base(), model))

    def large_base(self) -> LlamaForCausalLM:
        return self._train(
            "tiny-large-base",
            LARGE.new(2),
            self.plan.large_base,
            lambda seed: _alternate(examples(seed), products(seed)),
            lambda model: widen(self.tiny(), model),
        )

    def large(self) -> LlamaForCausalLM:
        return self._train(
            "tiny-large",
            LARGE.new(2),
            self.plan.large,
            lambda seed: examples(seed, levels=MIDDLE, splits=SELDOM),
            lambda model: _copy(self.large_base(), model),
        )

    def comparer(self) -> LlamaForCausalLM:
        """The layers that compare what stands there with what `tiny`, in the layers below, would have written. Those stay
        as they are: taught at once, they forget what to expect before anything is made of it."""

        def lessons(seed: str) -> Iterator[Example]:
            drawn = self._judged()
            misread = judging.misread_operands(drawn, seed)
            return _alternate(judging.common_operations(drawn, seed), misread, misread)

        def begin(model: LlamaForCausalLM) -> None:
            deepen(self.tiny(), model)
            model.model.embed_tokens.requires_grad_(False)
            for layer in model.model.layers[: TINY.layers]:
                layer.requires_grad_(False)

        return self._train("tiny-prm-comparer", VERIFIER.new(3), self.plan.comparer, lessons, begin)

    def reader(self) -> LlamaForCausalLM:
        """All layers: whole solutions, whose operands are where they should be or not. It goes on learning to write as
        well, or it would have nothing to compare with."""
        return self._all_layers(
            "tiny-prm-reader", self.plan.reader, self.comparer, missed=3, asked=2, misread=2, whole=3
        )

    def prm(self) -> LlamaForCausalLM:
        """Above all the operations that `tiny` gets wrong most, which are the slowest to be learned."""
        return self._all_layers("tiny-prm", self.plan.verifier, self.reader, missed=5, asked=3, misread=2, whole=4)

    def _all_layers(
        self,
        name: str,
        rounds: Sequence[Round],
        before: Callable[[], LlamaForCausalLM],
        *,
        missed: int,
        asked: int,
        misread: int,
        whole: int,
    ) -> LlamaForCausalLM:
        """Goes on with `before`; the numbers are shares, beside one of common operations and one of derivations."""

        def lessons(seed: str) -> Iterator[Example]:
            drawn = self._judged()
            return _alternate(
                judging.common_operations(drawn, seed),
                *[judging.missed_operations(drawn, seed)] * missed,
                *[judging.questions(drawn, seed)] * asked,
                judging.derivations(drawn, seed),
                *[judging.misread_operands(drawn, seed)] * misread,
                *[judging.solutions(drawn, seed)] * whole,
            )

        return self._train(name, VERIFIER.new(3), rounds, lessons, lambda model: _copy(before(), model))

    def _judged(self) -> judging.Drawn:
        return self._samples("verifier", self.tiny(), self.plan.verifier_problems, n=4, levels=MIDDLE)

    def _train(
        self,
        name: str,
        model: LlamaForCausalLM,
        rounds: Sequence[Round],
        lessons: Callable[[str], Iterator[Example]],
        begin: Callable[[LlamaForCausalLM], None] | None = None,
    ) -> LlamaForCausalLM:
        """`begin` gives `model` the weights it starts from; `lessons` makes a round's examples from its name."""
        model.to(self.device)
        paths = [self.folder / f"{name}-{number}.safetensors" for number in range(1, len(rounds) + 1)]
        done = sum(path.exists() for path in paths)
        if done:
            load_model(model, paths[done - 1], device=self.device)
        elif begin:
            begin(model)
        for path, one in zip(paths[done:], rounds[done:], strict=True):
            fit(model, lessons(path.stem), steps=one.steps, tokens=one.tokens, peak=one.peak, name=path.stem)
            save_model(model, str(path))
        return model.eval()

    def _samples(self, name: str, model: LlamaForCausalLM, count: int, *, n: int, levels: Levels) -> judging.Drawn:
        """n solutions for each of `count` training problems."""
        path = self.folder / f"{name}-samples.jsonl"
        problems = list(itertools.islice(training_problems(name, levels), count))
        if not path.exists():
            texts = draw(model, [prompt(problem.text) for problem in problems], n=n, temperature=TEMPERATURE, seed=4)
            path.write_text("".join(json.dumps(row) + "\n" for row in texts))
        return list(zip(problems, map(json.loads, path.read_text().splitlines()), strict=True))


def _copy(source: LlamaForCausalLM, target: LlamaForCausalLM) -> None:
    target.load_state_dict(source.state_dict())


def _alternate(*sources: Iterator[Example]) -> Iterator[Example]:
    return (example for together in zip(*sources, strict=True) for example in together)
