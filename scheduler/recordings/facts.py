"""Facts: what was seen of all of a recording, from which it is told how its answers were chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from models.recorded import Recorded, Sample
from strategies.aggregation import Aggregation, aggregate

_CLOSE = 1e-6


class Facts:
    """Counted record by record. `without_score`, `without_steps` and `without_choice` are the places of the first
    solution without a score or step scores, and of the first record without a final answer; None where all have them.
    `generators` are what wrote the solutions, no more than two of them. `aggregations` are the ways of making one score of
    step scores by which all recorded scores come about.
    """

    def __init__(self) -> None:
        self.solutions = 0
        self.most_samples = 0
        self.repeated = 0
        self.scored = False
        self.stepped = False
        self.counted = False
        self.referenced = 0
        self.generators: set[str] = set()
        self.without_score: str | None = None
        self.without_steps: str | None = None
        self.without_choice: str | None = None
        self.aggregations: set[Aggregation] = set(get_args(Aggregation))

    def add(self, recorded: Recorded, place: str) -> None:
        """One record."""
        for number, sample in enumerate(recorded.samples, 1):
            self._sample(sample, f"{place}, solution {number}")
        if recorded.generator is not None and len(self.generators) < 2:
            self.generators.add(recorded.generator)
        if recorded.chosen is None:
            self.without_choice = self.without_choice or place

    def problem(self, recorded: Recorded) -> None:
        """All records of a problem."""
        count = len(recorded.samples)
        self.solutions += count
        self.most_samples = max(self.most_samples, count)
        self.referenced += recorded.answer is not None
        self.repeated += len({sample.text for sample in recorded.samples}) < count

    def _sample(self, sample: Sample, place: str) -> None:
        self.counted = self.counted or sample.generated_tokens is not None
        if sample.score is not None or sample.step_scores is not None:
            self.scored = True
        elif sample.finish_reason == "stop" and sample.text.strip():
            self.without_score = self.without_score or place
        if sample.step_scores is not None:
            self.stepped = True
            if sample.score is not None:
                self.aggregations = {how for how in self.aggregations if _gives(sample.step_scores, how, sample.score)}
        elif sample.finish_reason == "stop" and sample.text.strip():
            self.without_steps = self.without_steps or place


def _gives(steps: Sequence[float], how: Aggregation, score: float) -> bool:
    return abs(aggregate(steps, how) - score) <= _CLOSE
